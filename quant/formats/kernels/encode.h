#pragma once

#include <cstdint>

/// Vector kernels of range and encode. Only plain pointers and numbers cross this line, see
/// core/kernels/lanes.h.
namespace ebb::kernels {

/// What an encode kernel needs of a grid.
struct EncodeGrid {
  float offset, scale, low, high;
  std::int32_t centre;
};
/// Grids by element that differ in offset and scale; both can be read up to the next multiple
/// of 32.
struct EncodeGrids {
  const float *offset, *scale;
  float low, high;
  std::int32_t centre;
};

/// Codes of x[0..n) in one container.
template <class Code>
struct Encoders {
  void (*nearest)(const float* x, std::int64_t n, EncodeGrid grid, Code* out);
  /// Nearest, element i on grid i.
  void (*each)(const float* x, std::int64_t n, const EncodeGrids& grids, Code* out);
  /// Stochastic; x[0] is element `first`, a multiple of 128.
  void (*stochastic)(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                     std::uint64_t first, Code* out);
};

struct EncodeKernels {
  /// Minimum and maximum of x[0..n), n >= 1; returns false if any element is NaN or infinite (then
  /// min and max mean nothing).
  bool (*range)(const float* x, std::int64_t n, float* min, float* max);
  Encoders<std::int8_t> int8;
  Encoders<std::int16_t> int16;

  template <class Code>
  [[nodiscard]] const Encoders<Code>& of() const {
    if constexpr (sizeof(Code) == 1) {
      return int8;
    } else {
      return int16;
    }
  }

  static const EncodeKernels portable, avx2, avx512;
};

}  // namespace ebb::kernels
