#include <doctest/doctest.h>

#include <vector>

#include "core/parallel.h"

TEST_CASE(
    "parallel_for visits every index once in ranges that start at multiples of align, for any "
    "grain") {
  for (const std::int64_t n : {0, 1, 2, 3, 31, 32, 33, 127, 128, 129, 1000, 4096}) {
    for (const std::int64_t grain : {0, 1, 2, 3, 64, 1000}) {
      for (const std::int64_t align : {1, 7, 128}) {
        CAPTURE(n);
        CAPTURE(grain);
        CAPTURE(align);
        std::vector<int> visits(static_cast<std::size_t>(n), 0);
        std::vector<char> aligned(static_cast<std::size_t>(n), 1);
        ebb::parallel_for(
            n,
            [&](std::int64_t first, std::int64_t last) {
              if (first % align != 0) aligned[static_cast<std::size_t>(first)] = 0;
              for (std::int64_t i = first; i < last; ++i) ++visits[static_cast<std::size_t>(i)];
            },
            grain, align);
        CHECK(visits == std::vector<int>(static_cast<std::size_t>(n), 1));
        CHECK(aligned == std::vector<char>(static_cast<std::size_t>(n), 1));
      }
    }
  }
}
