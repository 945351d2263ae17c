#pragma once

#include <cstdint>

/// Vector kernels of range and encode. Only plain pointers and numbers cross this line: the files
/// behind it are compiled for one instruction set each and must not instantiate inline library code
/// that the linker could pick for other callers.
namespace ebb::kernels {

/// What an encode kernel needs of a grid.
struct EncodeGrid {
  float offset, scale, low, high;
  std::int32_t centre;
};

/// Minimum and maximum of x[0..n), n >= 1; returns false if any element is NaN or infinite (then
/// min and max mean nothing).
using RangeKernel = bool (*)(const float* x, std::int64_t n, float* min, float* max);
bool range_avx2(const float* x, std::int64_t n, float* min, float* max);
bool range_avx512(const float* x, std::int64_t n, float* min, float* max);

/// Nearest-even codes of x[0..n).
void encode_nearest_avx2(const float* x, std::int64_t n, EncodeGrid grid, std::int8_t* out);
void encode_nearest_avx2(const float* x, std::int64_t n, EncodeGrid grid, std::int16_t* out);
void encode_nearest_avx512(const float* x, std::int64_t n, EncodeGrid grid, std::int8_t* out);
void encode_nearest_avx512(const float* x, std::int64_t n, EncodeGrid grid, std::int16_t* out);

/// Grids by element that differ in offset and scale; both can be read up to the next multiple
/// of 32.
struct EncodeGrids {
  const float *offset, *scale;
  float low, high;
  std::int32_t centre;
};
/// Nearest-even codes of x[0..n), element i on grid i.
void encode_each_avx2(const float* x, std::int64_t n, const EncodeGrids& grids, std::int8_t* out);
void encode_each_avx2(const float* x, std::int64_t n, const EncodeGrids& grids, std::int16_t* out);
void encode_each_avx512(const float* x, std::int64_t n, const EncodeGrids& grids, std::int8_t* out);
void encode_each_avx512(const float* x, std::int64_t n, const EncodeGrids& grids,
                        std::int16_t* out);

/// Stochastic codes of x[0..n) where x[0] is element `first`, a multiple of 128.
void encode_stochastic_avx2(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                            std::uint64_t first, std::int8_t* out);
void encode_stochastic_avx2(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                            std::uint64_t first, std::int16_t* out);
void encode_stochastic_avx512(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                              std::uint64_t first, std::int8_t* out);
void encode_stochastic_avx512(const float* x, std::int64_t n, EncodeGrid grid, std::uint64_t key,
                              std::uint64_t first, std::int16_t* out);

}  // namespace ebb::kernels
