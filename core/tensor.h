#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/aligned.h"
#include "core/shape.h"

namespace ebb {

/// A read-only matrix laid over float32 memory; strides in elements, so transposed and sliced
/// matrices are views too.
struct ConstMatrix {
  const float* data = nullptr;
  std::int64_t rows = 0, cols = 0;
  std::int64_t row_stride = 0, col_stride = 1;

  [[nodiscard]] float operator()(std::int64_t i, std::int64_t j) const {
    return data[i * row_stride + j * col_stride];
  }
  [[nodiscard]] ConstMatrix transposed() const {
    return {data, cols, rows, col_stride, row_stride};
  }
  /// Rows follow each other without gaps.
  [[nodiscard]] bool contiguous() const {
    return col_stride == 1 && (row_stride == cols || rows <= 1);
  }
};

/// A dense row-major float32 array with value semantics. @throws MemoryError naming the shape where
/// memory runs out
class Tensor {
 public:
  Tensor() : Tensor(Shape{0}) {}
  Tensor(const Tensor&) = default;
  Tensor& operator=(const Tensor&) = default;
  /// A moved-from tensor has shape [0], like a new one, so that its shape does not promise elements
  /// that are gone.
  Tensor(Tensor&& other) noexcept
      : shape_(std::exchange(other.shape_, Shape{0})), data_(std::move(other.data_)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    shape_ = std::exchange(other.shape_, Shape{0});
    data_ = std::move(other.data_);
    return *this;
  }
  ~Tensor() = default;
  static Tensor zeros(const Shape& shape) { return filled(shape, 0.0f); }
  static Tensor filled(const Shape& shape, float value);
  /// Elements are indeterminate: for outputs that are written whole.
  static Tensor uninitialized(const Shape& shape) { return Tensor(shape); }
  /// A shape without memory: what ops of a pass that only counts hand on (Pass::counting). Only its
  /// shape may be asked for.
  static Tensor shape_only(const Shape& shape);
  [[nodiscard]] bool has_elements() const {
    return static_cast<std::int64_t>(data_.size()) == shape_.size();
  }
  /// @throws ShapeError unless values.size() == shape.size()
  static Tensor from(const Shape& shape, std::span<const float> values);
  static Tensor scalar(float value) { return filled(Shape{}, value); }

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t size() const { return shape_.size(); }
  [[nodiscard]] float* data() { return data_.data(); }
  [[nodiscard]] const float* data() const { return data_.data(); }
  [[nodiscard]] std::span<float> values() { return {data_.data(), data_.size()}; }
  [[nodiscard]] std::span<const float> values() const { return {data_.data(), data_.size()}; }
  [[nodiscard]] float operator[](std::int64_t i) const {
    return data_[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] float& operator[](std::int64_t i) { return data_[static_cast<std::size_t>(i)]; }

  /// The single element. @throws ShapeError unless size() == 1
  [[nodiscard]] float item() const;
  /// All axes but the last form the rows: [2, 3, 4] becomes a 6 x 4 matrix. A vector is one row.
  [[nodiscard]] ConstMatrix matrix() const;
  /// The same elements under another shape. @throws ShapeError unless the sizes agree
  [[nodiscard]] Tensor reshaped(const Shape& shape) &&;
  [[nodiscard]] Tensor reshaped(const Shape& shape) const& { return Tensor(*this).reshaped(shape); }

  friend bool operator==(const Tensor&, const Tensor&) = default;

 private:
  explicit Tensor(const Shape& shape);

  Shape shape_;
  Aligned<float> data_;
};

/// A copy, made by all threads.
Tensor copy_of(const Tensor& x);
/// a += b, element by element. @throws ShapeError unless the shapes agree
void add_into(Tensor& a, const Tensor& b);

}  // namespace ebb
