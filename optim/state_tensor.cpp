#include "optim/state_tensor.h"

#include <algorithm>
#include <bit>

#include "core/error.h"
#include "quant/formats/codec.h"

namespace ebb {
namespace {

constexpr Format kBf16{.width = 16, .exponent = 8, .fraction = 7};

/// Codes are bit patterns and have no scale of their own.
Format pattern_of(Format format) {
  format.scaling = {};
  return format;
}

/// How numbers by themselves are stored: linear formats as multiples of their unit.
Grid grid_of(Format format) {
  return {.bits = format.width, .scale = stored_unit(format), .style = GridStyle::symmetric};
}

template <class Code>
void decode_all(Format format, const Code* from, std::int64_t n, float* to) {
  if (format == kBf16) {
    for (std::int64_t i = 0; i < n; ++i)
      to[i] = std::bit_cast<float>(static_cast<std::uint32_t>(from[i]) << 16);
  } else if (traits_of(format).arithmetic(format) == Arithmetic::linear) {
    const Grid grid = grid_of(format);
    for (std::int64_t i = 0; i < n; ++i) to[i] = decode_element(from[i], grid, format);
  } else {
    const float* const numbers = all_numbers(format).data();
    const auto mask = (std::uint32_t{1} << format.width) - 1;
    for (std::int64_t i = 0; i < n; ++i)
      to[i] = numbers[static_cast<std::uint32_t>(from[i]) & mask];
  }
}

}  // namespace

StateTensor::StateTensor(const Shape& shape, Format format)
    : shape_(shape), format_(pattern_of(format)) {
  require<ConfigError>(format_.is_fp32() || has_codec(format_),
                       "[state] expected fp32 or a format "
                       "with a codec, got ",
                       format, ", whose grid would change with every step");
  const auto size = static_cast<std::size_t>(shape.size());
  switch (traits_of(format_).container(format_)) {
    case Container::int8: codes8_.resize(size); break;
    case Container::int16: codes16_.resize(size); break;
    case Container::float32: values_ = Tensor::zeros(shape); break;
  }
  std::ranges::fill(codes8_, std::int8_t{0});
  std::ranges::fill(codes16_, std::int16_t{0});
}

void StateTensor::read(std::int64_t first, std::int64_t n, float* to) const {
  if (!codes8_.empty()) return decode_all(format_, codes8_.data() + first, n, to);
  if (!codes16_.empty()) return decode_all(format_, codes16_.data() + first, n, to);
  std::copy_n(values_.data() + first, n, to);
}

void StateTensor::write_at(std::int64_t drawn, std::int64_t first, std::int64_t n,
                           const float* from, Rounding rounding, Key key, Simd simd) {
  const Encoding encoding{.format = format_, .rounding = rounding};
  const Grid grid = grid_of(format_);
  if (!codes8_.empty()) {
    encode_elements(from, n, grid, encoding, key, drawn, simd, codes8_.data() + first);
  } else if (!codes16_.empty()) {
    encode_elements(from, n, grid, encoding, key, drawn, simd, codes16_.data() + first);
  } else {
    for (std::int64_t j = 0; j < n; ++j)
      values_[first + j] =
          round_to(format_, from[j], rounding, key, static_cast<std::uint64_t>(drawn + j));
  }
}

float StateTensor::operator[](std::int64_t i) const {
  float value = 0;
  read(i, 1, &value);
  return value;
}

Tensor StateTensor::tensor() const {
  Tensor all = Tensor::uninitialized(shape_);
  read(0, size(), all.data());
  return all;
}

void StateTensor::assign(const Tensor& values) {
  require<ShapeError>(values.shape() == shape_, "[state] expected ", shape_, ", got ",
                      values.shape());
  write(0, size(), values.data(), Rounding::nearest_even, Key(0), Simd::scalar);
}

}  // namespace ebb
