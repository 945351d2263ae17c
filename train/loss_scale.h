#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ebb::train {

/// What the loss is multiplied by before the backward sweep, so that small gradients do not vanish
/// in formats of little range; gradients are divided by it before anything reads them.
///
/// A dynamic scale follows overflows, which are gradients that are not finite. The update is then
/// not made, and the same iteration is tried again. With n attempts since the last rescaling, k of
/// them overflows, k / n >= tolerance halves the scale. After every `window` updates without an
/// overflow it is doubled. Source: Ott et al., "Scaling Neural Machine Translation", WMT 2018;
/// fairseq's DynamicLossScaler, whose state was not saved whole.
struct LossScale {
  static constexpr std::int64_t kMostSkips = 100;  ///< overflows in a row
  static constexpr double kFactor = 2, kFloor = 1e-4, kInitial = 128;

  bool dynamic = false;
  double scale = 1;
  std::int64_t window = 16384;  ///< updates
  double tolerance = 0;         ///< share of attempts

  // The state, with `scale`.
  std::int64_t attempts = 0;                           ///< made so far
  std::int64_t last_overflow = -1, last_rescale = -1;  ///< attempts; -1: before the first
  std::int64_t overflows = 0, overflows_since_rescale = 0, skips_in_row = 0;

  /// Of "dynamic" or a number. @throws ConfigError unless it is above 0 and finite
  static LossScale parse(std::string_view text, std::int64_t window, double tolerance);

  /// After an attempt. @throws NonFiniteError if the scale is static, after kMostSkips overflows in
  /// a row, or when the scale would fall to kFloor: `why` is what was not finite
  void overflowed(std::string_view why);
  void succeeded();

  /// The whole state, for checkpoints.
  [[nodiscard]] std::vector<std::uint64_t> save() const;
  /// @throws DataError unless save() made the words
  void restore(std::span<const std::uint64_t> words);
  friend bool operator==(const LossScale&, const LossScale&) = default;
};

}  // namespace ebb::train
