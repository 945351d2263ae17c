#include "train/loss_scale.h"

#include <bit>
#include <cmath>

#include "core/error.h"
#include "core/text.h"

namespace ebb::train {

LossScale LossScale::parse(std::string_view text, std::int64_t window, double tolerance) {
  LossScale result{.window = window, .tolerance = tolerance};
  if (text == "dynamic") {
    result.dynamic = true;
    result.scale = kInitial;
    return result;
  }
  const bool fits = parse_number(text, result.scale) && result.scale > 0 &&
                    static_cast<float>(result.scale) > 0 &&
                    std::isfinite(static_cast<float>(result.scale));
  require<ConfigError>(fits, "expected dynamic or a number above 0 that float32 holds, got '", text,
                       "'");
  return result;
}

void LossScale::overflowed(std::string_view why) {
  ++overflows;
  ++skips_in_row;
  require<NonFiniteError>(dynamic, why, ", at the loss scale ", scale,
                          "; a smaller --loss-scale, or --loss-scale dynamic, may help");
  require<NonFiniteError>(skips_in_row < kMostSkips, why, ", for the ", kMostSkips,
                          "th time in a row, at the loss scale ", scale,
                          "; a smaller --lr or more bits may help");
  const std::int64_t since = attempts - last_rescale;
  last_overflow = attempts;
  ++overflows_since_rescale;
  if (static_cast<double>(overflows_since_rescale) >= tolerance * static_cast<double>(since)) {
    require<NonFiniteError>(scale / kFactor > kFloor, why, ", even at the loss scale ", scale,
                            "; a smaller --lr or more bits may help");
    scale /= kFactor;
    last_rescale = attempts;
    overflows_since_rescale = 0;
  }
  ++attempts;
}

void LossScale::succeeded() {
  skips_in_row = 0;
  const bool grows = dynamic && (attempts - last_overflow) % window == 0 &&
                     std::isfinite(static_cast<float>(scale * kFactor));
  if (grows) {
    scale *= kFactor;
    last_rescale = attempts;
    overflows_since_rescale = 0;
  }
  ++attempts;
}

std::vector<std::uint64_t> LossScale::save() const {
  std::vector<std::uint64_t> words{std::bit_cast<std::uint64_t>(scale)};
  for (const std::int64_t count :
       {attempts, last_overflow, last_rescale, overflows, overflows_since_rescale, skips_in_row})
    words.push_back(static_cast<std::uint64_t>(count));
  return words;
}

void LossScale::restore(std::span<const std::uint64_t> words) {
  require<DataError>(words.size() == 7, "[loss scale] expected a state of 7 numbers, got ",
                     words.size());
  const double stored = std::bit_cast<double>(words[0]);
  require<DataError>(stored > 0 && std::isfinite(stored), "[loss scale] the stored scale is ",
                     stored, "; the checkpoint is damaged");
  scale = stored;
  std::int64_t* const counts[] = {&attempts,  &last_overflow,           &last_rescale,
                                  &overflows, &overflows_since_rescale, &skips_in_row};
  for (std::size_t i = 0; i < std::size(counts); ++i)
    *counts[i] = static_cast<std::int64_t>(words[i + 1]);
}

}  // namespace ebb::train
