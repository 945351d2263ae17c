#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <vector>

#include "core/key.h"

using namespace ebb;

namespace {

std::uint64_t join_words(const std::array<std::uint32_t, 4>& words) {
  return (std::uint64_t{words[1]} << 32) | words[0];
}

}  // namespace

TEST_CASE("philox4x32-10 gives the published known answers") {
  using C = std::array<std::uint32_t, 4>;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == C{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        C{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        C{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("keys are pure functions of what they are for: their layout may never change") {
  // Counter words (low, high, 0, purpose), purpose 0 for draws and 1 for folds; key words (low,
  // high).
  const Key key(42);
  CHECK(key.bits(0) == join_words(philox4x32({0, 0, 0, 0}, {42, 0})));
  CHECK(key.bits(0x500000007ULL) == join_words(philox4x32({7, 5, 0, 0}, {42, 0})));
  CHECK(key.fold(7).value() == join_words(philox4x32({7, 0, 0, 1}, {42, 0})));
  CHECK(key.fold(-1).value() ==
        join_words(philox4x32({0xffffffff, 0xffffffff, 0, 1}, {42, 0})));  // as 64 unsigned bits
  CHECK(key.fold("stage1.conv") == key.fold(name_hash("stage1.conv")));
  CHECK(name_hash("") == 0xcbf29ce484222325ULL);  // FNV-1a's published test vectors
  CHECK(name_hash("a") == 0xaf63dc4c8601ec8cULL);
  CHECK(name_hash("foobar") == 0x85944171f73967e8ULL);
}

TEST_CASE("folds and draws of neighbouring keys and counters never coincide") {
  std::set<std::uint64_t> seen;
  std::size_t made = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    for (std::uint64_t i = 0; i < 30; ++i) {
      const Key folded = Key(seed).fold(i);
      for (const std::uint64_t value : {Key(seed).bits(i), folded.value(), folded.bits(0),
                                        folded.bits(1), folded.fold(i).value()}) {
        seen.insert(value);
        ++made;
      }
    }
  }
  CHECK(seen.size() == made);
  CHECK(Key(1).fold(2).fold(3) != Key(1).fold(3).fold(2));
}

TEST_CASE("uniform, below and normal have the moments and the range they promise") {
  const Key key = Key(5).fold("moments");
  constexpr std::uint64_t n = 200000;
  double uniform = 0, normal = 0, squares = 0, fourth = 0;
  std::vector<std::int64_t> counts(7, 0);
  for (std::uint64_t i = 0; i < n; ++i) {
    const double u = key.uniform(i), z = key.normal(i);
    REQUIRE((u >= 0 && u < 1));
    uniform += u;
    normal += z;
    squares += z * z;
    fourth += z * z * z * z;
    ++counts[key.below(i, 7)];
  }
  // Five standard errors: sd of u is 0.289, of z 1, of z^2 sqrt(2), of z^4 sqrt(96).
  const double root = std::sqrt(static_cast<double>(n));
  CHECK(std::abs(uniform / n - 0.5) < 5 * 0.289 / root);
  CHECK(std::abs(normal / n) < 5 / root);
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(fourth / n - 3) < 5 * std::sqrt(96.0) / root);
  for (const std::int64_t count : counts)
    CHECK(std::abs(static_cast<double>(count) - n / 7.0) < 5 * std::sqrt(n * 6.0 / 49));
  CHECK(key.below(3, 1) == 0);
}

TEST_CASE(
    "shuffling gives a permutation, the same for the same key, and every order equally often") {
  std::map<std::vector<std::int64_t>, int> orders;
  for (std::uint64_t i = 0; i < 6000; ++i) {
    std::vector<std::int64_t> order{0, 1, 2};
    shuffle_indices(Key(9).fold(i), order);
    ++orders[order];
  }
  CHECK(orders.size() == 6);
  for (const auto& [order, count] : orders)
    CHECK(std::abs(count - 1000) < 5 * 29);  // sd of a count is 28.9
  std::vector<std::int64_t> a{0, 1, 2, 3, 4, 5, 6}, b = a, none;
  shuffle_indices(Key(1), a);
  shuffle_indices(Key(1), b);
  CHECK(a == b);
  shuffle_indices(Key(1), none);
  CHECK(none.empty());
}
