#include <array>

#include "quant/kernels/problem.h"

namespace ebb::kernels {
namespace {

bool always_integer(const Problem& p) { return p.integer(); }
bool always_float(const Problem& p) { return !p.integer(); }

constexpr std::array kKernels{
    Kernel{"reference", Simd::scalar, always_integer, reference_integer},
    Kernel{"reference", Simd::scalar, always_float, reference_float},
};

}  // namespace

std::span<const Kernel> all_kernels() { return kKernels; }

}  // namespace ebb::kernels
