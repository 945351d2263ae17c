#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>

namespace ebb {

/// One block of Philox4x32-10: 128 random bits, a pure function of counter and key. Passes
/// BigCrush. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
/// 2011.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

/// Counter-based randomness as a value. A key is derived from what it is for (seed, site, role,
/// iteration), never from the order of calls, so the same element gets the same draw for any number
/// of threads and after any resume.
class Key {
 public:
  explicit constexpr Key(std::uint64_t seed) : value_(seed) {}

  /// An independent key for the given purpose.
  [[nodiscard]] Key fold(std::uint64_t data) const;
  [[nodiscard]] Key fold(std::string_view name) const;
  /// Numbers of iterations and elements are signed.
  template <std::signed_integral T>
  [[nodiscard]] Key fold(T data) const {
    return fold(static_cast<std::uint64_t>(data));
  }

  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }

  /// 64 random bits at a counter.
  [[nodiscard]] std::uint64_t bits(std::uint64_t counter) const;
  /// Uniform in [0, 1), a multiple of 2^-53.
  [[nodiscard]] double uniform(std::uint64_t counter) const;
  /// Uniform in {0 .. n-1}, n >= 1; bias below n 2^-64.
  [[nodiscard]] std::uint64_t below(std::uint64_t counter, std::uint64_t n) const;
  /// Standard normal (Box-Muller on two uniforms of the same block).
  [[nodiscard]] double normal(std::uint64_t counter) const;

  friend constexpr bool operator==(Key, Key) = default;

 private:
  std::uint64_t value_;
};

/// FNV-1a of a name: stable across machines and versions, unlike std::hash.
std::uint64_t name_hash(std::string_view name);

/// A uniformly random order of 0 .. n-1 (Fisher-Yates driven by the key).
void shuffle_indices(Key key, std::span<std::int64_t> indices);

}  // namespace ebb
