#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace ebb {

/// How much of the updates that an optimizer meant to make was made, of a parameter or of several.
/// Sums are in double, over blocks of 4096 elements that are then combined by tree_sum; definitions
/// in docs/NUMERICS.md. Source: Yu et al., "Collage", ICML 2024.
struct UpdateQuality {
  std::string name{};  ///< of the parameter
  std::int64_t elements = 0;
  std::int64_t zero_updates = 0;  ///< elements whose update is zero
  std::int64_t lost = 0;          ///< elements that stay as they were although theirs is not
  /// Sums of squares of the intended and of the effective updates, and of their products; whole_*:
  /// the same of weight + residual, equal to the former for optimizers without residuals.
  double intended_squares = 0, effective_squares = 0, dot = 0, whole_squares = 0, whole_dot = 0;
  double residual_squares = 0, residual_dot = 0;  ///< of residuals, and with intended updates

  UpdateQuality& operator+=(const UpdateQuality& other);
  /// Effective descent quality: <intended, effective> / |intended|; 0 if nothing was intended.
  [[nodiscard]] double edq() const;
  [[nodiscard]] double whole_edq() const;
  /// These as shares of the intended length: 1 if nothing was lost, and where nothing was intended.
  [[nodiscard]] double edq_ratio() const;
  [[nodiscard]] double whole_edq_ratio() const;
  friend bool operator==(const UpdateQuality&, const UpdateQuality&) = default;
};

/// Numbers of one parameter about one update. Residuals may be empty.
struct UpdateNumbers {
  std::span<const float> intended, before, after, residual_before, residual_after;
};
/// @throws ShapeError unless the spans are of one size
UpdateQuality measure_update(std::string name, const UpdateNumbers& numbers);

}  // namespace ebb
