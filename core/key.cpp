#include "core/key.h"

#include <cmath>
#include <utility>

#include "core/math.h"
#include "core/text.h"

namespace ebb {
namespace {

// The fourth counter word separates the purposes of one key, so that folding never meets a draw.
constexpr std::uint32_t kDraw = 0;
constexpr std::uint32_t kFold = 1;

std::array<std::uint32_t, 4> block(std::uint64_t key, std::uint64_t counter,
                                   std::uint32_t purpose) {
  return philox4x32(
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, purpose},
      {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
}

std::uint64_t join(std::uint32_t low, std::uint32_t high) {
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

double unit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c,
                                        std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ULL * c[0];
    const std::uint64_t p1 = 0xCD9E8D57ULL * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

Key Key::fold(std::uint64_t data) const {
  const auto words = block(value_, data, kFold);
  return Key(join(words[0], words[1]));
}

Key Key::fold(std::string_view name) const { return fold(name_hash(name)); }

std::uint64_t Key::bits(std::uint64_t counter) const {
  const auto words = block(value_, counter, kDraw);
  return join(words[0], words[1]);
}

double Key::uniform(std::uint64_t counter) const { return unit(bits(counter)); }

std::uint64_t Key::below(std::uint64_t counter, std::uint64_t n) const {
  return static_cast<std::uint64_t>((static_cast<uint128>(bits(counter)) * n) >> 64);
}

double Key::normal(std::uint64_t counter) const {
  const auto words = block(value_, counter, kDraw);
  const double u = 1.0 - unit(join(words[0], words[1]));  // in (0, 1], so the logarithm is finite
  const double v = unit(join(words[2], words[3]));
  return std::sqrt(-2.0 * math::log(u)) * math::cos_pi(2.0 * v);
}

std::uint64_t name_hash(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

void shuffle_indices(Key key, std::span<std::int64_t> indices) {
  for (std::size_t i = indices.size(); i > 1; --i)
    std::swap(indices[i - 1], indices[key.below(i, i)]);
}

}  // namespace ebb
