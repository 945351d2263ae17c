#pragma once

#include <cstdint>

#include "quant/gemm.h"
#include "quant/patches.h"

namespace ebb {

/// The products of a convolution whose every channel has its own taps and meets no other. For
/// linear formats with an exact or narrow accumulator, and for float32: for each channel what
/// `gemm` gives for the patches of that channel, bit for bit, but all channels at once. Other
/// formats are decoded to float32 and summed in it. `images` is a tensor of [pixels, channels], the
/// geometry one that gathers all its channels. Each charges `ledger` with nominal positions x taps
/// x channels times the operands' widths. `how.kernel` is empty or "reference".

/// out(i, c) = sum over taps t of image(i, t, c) weights(t, c): out [positions, channels], weights
/// [taps, channels].
/// @throws ShapeError unless shapes and geometry fit and images has one grid; ConfigError for
/// another kernel, or an accumulator other than fp32 where sums are in float32
void depthwise_into(const Operand& images, const PatchGeometry& geometry, const Operand& weights,
                    const Multiply& how, CostLedger& ledger, const MutableMatrix& out);

/// out(c, t) = sum over positions i of image(i, t, c) gradient(i, c): out [channels, taps] without
/// gaps, gradient [positions, channels]. @throws as depthwise_into
void depthwise_grad_weight_into(const Operand& images, const PatchGeometry& geometry,
                                const Operand& gradient, const Multiply& how, CostLedger& ledger,
                                float* out);

}  // namespace ebb
