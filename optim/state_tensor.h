#pragma once

#include <cstdint>

#include "core/aligned.h"
#include "core/key.h"
#include "core/simd.h"
#include "core/tensor.h"
#include "quant/formats/format.h"

namespace ebb {

/// What an optimizer keeps of one parameter: numbers of a format in the bytes that its codes need,
/// 1 or 2 of formats of up to 8 or 16 bits, 4 of others.
class StateTensor {
 public:
  StateTensor() = default;
  /// Zeros. @throws ConfigError unless the format is fp32 or has a codec
  StateTensor(const Shape& shape, Format format);

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t size() const { return shape_.size(); }
  [[nodiscard]] const Format& format() const { return format_; }

  /// Where the numbers stand as float32; null of those that are kept as codes.
  [[nodiscard]] float* floats() {
    return codes8_.empty() && codes16_.empty() ? values_.data() : nullptr;
  }
  void read(std::int64_t first, std::int64_t n, float* to) const;
  /// Rounds to the format; element i draws from the key at i. In float32 the numbers stay as they
  /// are where the format has no narrower container.
  void write(std::int64_t first, std::int64_t n, const float* from, Rounding rounding, Key key,
             Simd simd) {
    write_at(first, first, n, from, rounding, key, simd);
  }
  /// The same of elements that draw from `drawn` on.
  void write_at(std::int64_t drawn, std::int64_t first, std::int64_t n, const float* from,
                Rounding rounding, Key key, Simd simd);

  [[nodiscard]] float operator[](std::int64_t i) const;
  [[nodiscard]] Tensor tensor() const;
  /// @throws ShapeError unless the shapes agree
  void assign(const Tensor& values);

 private:
  Shape shape_{0};
  Format format_{};
  Tensor values_{};
  Aligned<std::int8_t> codes8_{};
  Aligned<std::int16_t> codes16_{};
};

}  // namespace ebb
