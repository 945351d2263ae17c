#pragma once

#include "core/simd.h"

namespace ebb::kernels {

/// The kernels for `simd`: of a struct of function pointers with the static members portable, avx2
/// and avx512, each defined by one file that is compiled once for each (see cmake/options.cmake).
template <class Kernels>
const Kernels& select([[maybe_unused]] Simd simd) {
#if defined(__x86_64__)
  if (simd == Simd::avx512) return Kernels::avx512;
  if (simd == Simd::avx2) return Kernels::avx2;
#endif
  return Kernels::portable;
}

}  // namespace ebb::kernels
