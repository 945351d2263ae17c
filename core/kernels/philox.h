#pragma once

#include "core/kernels/lanes.h"

/// philox4x32 of core/key.h for many counters at once.
namespace ebb::kernels {
namespace {

/// kLanes / 2 blocks of Philox4x32, the words of each in the low halves of a lane; the high halves
/// are anything.
struct PhiloxBlocks {
  Half::LongBits c0, c1, c2, c3;

  void round(const Half::LongBits& k0, const Half::LongBits& k1) {
    const Half::LongBits p0 = multiply_low(c0, Half::LongBits{} + 0xD2511F53u),
                         p1 = multiply_low(c2, Half::LongBits{} + 0xCD9E8D57u);
    c0 = (p1 >> 32) ^ c1 ^ k0;
    c1 = p1;
    c2 = (p0 >> 32) ^ c3 ^ k1;
    c3 = p0;
  }
};

/// kLanes consecutive Philox4x32-10 blocks, one per lane; block numbers do not carry into their
/// high word within a group of kLanes.
inline void philox(std::uint64_t key, std::uint64_t block, std::uint32_t purpose,
                   Full::Bits (&words)[4]) {
  constexpr std::uint64_t numbers[8] = {0, 2, 4, 6, 8, 10, 12, 14};
  Half::LongBits first;
  fetch(first, numbers);
  first += block & 0xffffffffu;
  const Half::LongBits high = Half::LongBits{} + (block >> 32), last = Half::LongBits{} + purpose;
  PhiloxBlocks even{first, high, {}, last}, odd{first + 1, high, {}, last};
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const Half::LongBits all0 = Half::LongBits{} + k0, all1 = Half::LongBits{} + k1;
    even.round(all0, all1);
    odd.round(all0, all1);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  const auto merged = [](const Half::LongBits& low, const Half::LongBits& high_word) {
    return reinterpret_cast<Full::Bits>((low & 0xffffffffu) | (high_word << 32));
  };
  words[0] = merged(even.c0, odd.c0);
  words[1] = merged(even.c1, odd.c1);
  words[2] = merged(even.c2, odd.c2);
  words[3] = merged(even.c3, odd.c3);
}

}  // namespace
}  // namespace ebb::kernels
