#include "data/detection_batches.h"

#include <algorithm>
#include <array>
#include <exception>
#include <mutex>
#include <numeric>
#include <utility>

#include "core/checked.h"
#include "core/error.h"
#include "core/parallel.h"
#include "data/image_scale.h"

namespace ebb {

using Scaled = std::shared_ptr<const Picture>;

/// Scaled pictures as far as there is room. Which comes first stays: an epoch visits every picture
/// once, so that making room for another would drop one that comes sooner.
class DetectionBatches::Cache {
 public:
  Cache(std::size_t pictures, std::int64_t bytes) : kept_(pictures), left_(bytes) {}

  Scaled find(std::size_t picture) {
    const std::scoped_lock lock(mutex_);
    return kept_[picture];
  }
  void offer(std::size_t picture, const Scaled& scaled) {
    const auto bytes = static_cast<std::int64_t>(scaled->pixels.size());
    const std::scoped_lock lock(mutex_);
    if (kept_[picture] || bytes > left_) return;
    kept_[picture] = scaled;
    left_ -= bytes;
  }

 private:
  std::mutex mutex_;
  std::vector<Scaled> kept_;
  std::int64_t left_;
};

struct DetectionBatches::Change {
  bool mirrored = false;
  double brightness = 1, contrast = 1, saturation = 1;
};

namespace {

constexpr std::int64_t kMostSide = std::int64_t{1} << 14;

using Rgb = std::array<double, 3>;

double grey(const Rgb& rgb) { return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]; }

template <class Change>
void jitter_colours(std::vector<Rgb>& pixels, const Change& change) {
  const auto held = [](double value) { return std::clamp(value, 0.0, 1.0); };
  double sum = 0;
  for (Rgb& rgb : pixels) {
    for (double& v : rgb) v = held(v * change.brightness);
    sum += grey(rgb);
  }
  const double mean = sum / static_cast<double>(pixels.size());
  for (Rgb& rgb : pixels) {
    for (double& v : rgb) v = held(mean + (v - mean) * change.contrast);
    const double own = grey(rgb);
    for (double& v : rgb) v = held(own + (v - own) * change.saturation);
  }
}

std::vector<Rgb> unit_values(const Picture& picture) {
  std::vector<Rgb> pixels(picture.pixels.size() / 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) pixels[i][c] = picture.pixels[3 * i + c] / 255.0;
  }
  return pixels;
}

/// Writes a picture into the upper left of an image of the batch, whose rows have `row` values.
template <class Value>
void place(const Picture& picture, bool mirrored, float* image, std::int64_t row,
           const Value& value) {
  for (std::int64_t y = 0; y < picture.height; ++y) {
    float* to = image + y * row;
    for (std::int64_t x = 0; x < picture.width; ++x) {
      const auto pixel =
          static_cast<std::size_t>(y * picture.width + (mirrored ? picture.width - 1 - x : x));
      for (std::size_t c = 0; c < 3; ++c) *to++ = value(pixel, c);
    }
  }
}

std::vector<BoxLabel> boxes_in(const PictureFrame& frame, const std::vector<BoxLabel>& boxes,
                               bool mirrored) {
  std::vector<BoxLabel> placed = boxes;
  const auto scaled = [](float edge, double scale) { return static_cast<float>(edge * scale); };
  const auto width = static_cast<float>(frame.width);
  for (BoxLabel& each : placed) {
    Box& box = each.box;
    box = {.left = scaled(box.left, frame.scale_x),
           .top = scaled(box.top, frame.scale_y),
           .right = scaled(box.right, frame.scale_x),
           .bottom = scaled(box.bottom, frame.scale_y)};
    if (mirrored) box = {width - box.right, box.top, width - box.left, box.bottom};
  }
  return placed;
}

std::int64_t padded(std::int64_t size, std::int64_t multiple) {
  return ceil_div(size, multiple) * multiple;
}

}  // namespace

PictureFrame frame_of(std::int64_t picture, std::int64_t width, std::int64_t height,
                      const Resizing& resizing) {
  const auto& [shorter, longest, multiple] = resizing;
  require<ConfigError>(shorter >= 1 && longest >= shorter && longest <= kMostSide,
                       "[detection] expected a shorter side of at least 1 pixel and a longest of "
                       "that to ",
                       kMostSide, ", got ", shorter, " and ", longest);
  require<ConfigError>(multiple >= 1 && multiple <= longest,
                       "[detection] expected sides to be padded to a multiple of 1 .. ", longest,
                       ", got ", multiple);
  const std::int64_t least = std::min(width, height), most = std::max(width, height);
  const bool by_shorter = shorter * most <= longest * least;
  const std::int64_t to = by_shorter ? shorter : longest, from = by_shorter ? least : most;
  const auto side = [&](std::int64_t size) {
    return std::max<std::int64_t>(1, (2 * size * to + from) / (2 * from));
  };
  PictureFrame frame{.picture = picture, .width = side(width), .height = side(height)};
  frame.scale_x = static_cast<double>(frame.width) / static_cast<double>(width);
  frame.scale_y = static_cast<double>(frame.height) / static_cast<double>(height);
  return frame;
}

DetectionBatches::DetectionBatches(const DetectionSet& set, DetectionBatchOptions options, Key key)
    : set_(&set),
      options_(options),
      key_(key),
      order_(set.count(), options.batch, key.fold("order")),
      cache_(std::make_unique<Cache>(set.pictures.size(), options.cache_bytes)) {
  require<DataError>(set.count() > 0, "[detection] ", set.name, ": the set has no pictures");
  require<DataError>(set.normalization.mean.size() == 3 && set.normalization.std.size() == 3,
                     "[detection] ", set.name,
                     ": expected a mean and a std for each of 3 channels; set them, e.g. to "
                     "imagenet_normalization");
  for (const double share :
       {options.jitter.brightness, options.jitter.contrast, options.jitter.saturation})
    require<ConfigError>(share >= 0 && share <= 1,
                         "[detection] expected colour jitter of 0 .. 1, got ", share);
  for (std::int64_t i = 0; i < set.count(); ++i) {
    const LabelledPicture& picture = set.pictures[static_cast<std::size_t>(i)];
    frames_.push_back(frame_of(i, picture.width, picture.height, options.resizing));
  }
}
DetectionBatches::DetectionBatches(DetectionBatches&&) noexcept = default;
DetectionBatches::~DetectionBatches() = default;

DetectionBatches::Change DetectionBatches::draw_change(Key key, std::int64_t picture) const {
  const auto counter = 4 * static_cast<std::uint64_t>(picture);
  const auto factor = [&](std::uint64_t which, double reach) {
    return 1 + reach * (2 * key.uniform(counter + which) - 1);
  };
  return {.mirrored = options_.mirror && key.below(counter, 2) == 1,
          .brightness = factor(1, options_.jitter.brightness),
          .contrast = factor(2, options_.jitter.contrast),
          .saturation = factor(3, options_.jitter.saturation)};
}

DetectionBatch DetectionBatches::batch(std::int64_t iteration) const {
  const std::vector<std::int64_t> pictures = indices(iteration);
  const Key key = key_.fold("augment").fold(epoch(iteration));
  std::vector<Change> changes;
  for (const std::int64_t picture : pictures) changes.push_back(draw_change(key, picture));
  return gather(pictures, changes);
}

std::vector<std::int64_t> DetectionBatches::range(std::int64_t first, std::int64_t count) const {
  require<ConfigError>(
      first >= 0 && count >= 0 && first <= set_->count() && count <= set_->count() - first,
      "[detection] pictures ", first, " .. ", first + count - 1, " are not all in ", set_->name,
      ", which has ", set_->count());
  std::vector<std::int64_t> pictures(static_cast<std::size_t>(count));
  std::iota(pictures.begin(), pictures.end(), first);
  return pictures;
}

DetectionBatch DetectionBatches::in_order(std::int64_t first, std::int64_t count) const {
  const std::vector<std::int64_t> pictures = range(first, count);
  return gather(pictures, std::vector<Change>(pictures.size()));
}

Shape DetectionBatches::shape_in_order(std::int64_t first, std::int64_t count) const {
  return shape_of(range(first, count));
}

Shape DetectionBatches::shape_of(std::span<const std::int64_t> pictures) const {
  std::int64_t height = 0, width = 0;
  for (const std::int64_t i : pictures) {
    height = std::max(height, frames_[static_cast<std::size_t>(i)].height);
    width = std::max(width, frames_[static_cast<std::size_t>(i)].width);
  }
  const std::int64_t multiple = options_.resizing.multiple;
  return {std::ssize(pictures), padded(height, multiple), padded(width, multiple), 3};
}

DetectionBatch DetectionBatches::gather(std::span<const std::int64_t> pictures,
                                        std::span<const Change> changes) const {
  DetectionBatch batch{.images = Tensor::zeros(shape_of(pictures)), .boxes = {}, .frames = {}};
  for (std::size_t n = 0; n < pictures.size(); ++n) {
    const auto i = static_cast<std::size_t>(pictures[n]);
    batch.frames.push_back(frames_[i]);
    batch.boxes.push_back(boxes_in(frames_[i], set_->pictures[i].boxes, changes[n].mirrored));
  }
  const std::int64_t row = batch.images.shape()[2] * 3, image = batch.images.shape()[1] * row;
  float* const images = batch.images.data();
  const auto scaled = [&](std::size_t i) -> Scaled {
    if (Scaled kept = cache_->find(i)) return kept;
    Scaled made = std::make_shared<const Picture>(resized(
        read_picture(*set_, static_cast<std::int64_t>(i)), frames_[i].height, frames_[i].width));
    cache_->offer(i, made);
    return made;
  };
  const auto normalized = [&](float value, std::size_t channel) {
    return (value - set_->normalization.mean[channel]) / set_->normalization.std[channel];
  };
  const auto make = [&](std::size_t n) {
    const Scaled picture = scaled(static_cast<std::size_t>(pictures[n]));
    float* const to = images + static_cast<std::int64_t>(n) * image;
    if (!options_.jitter.any())
      return place(*picture, changes[n].mirrored, to, row, [&](std::size_t pixel, std::size_t c) {
        return normalized(static_cast<float>(picture->pixels[3 * pixel + c]) / 255.0f, c);
      });
    std::vector<Rgb> pixels = unit_values(*picture);
    jitter_colours(pixels, changes[n]);
    place(*picture, changes[n].mirrored, to, row, [&](std::size_t pixel, std::size_t c) {
      return normalized(static_cast<float>(pixels[pixel][c]), c);
    });
  };
  std::vector<std::exception_ptr> errors(pictures.size());  // since threads cannot throw
  const auto make_range = [&](std::int64_t first, std::int64_t last) {
    for (auto n = static_cast<std::size_t>(first); n < static_cast<std::size_t>(last); ++n) {
      try {
        make(n);
      } catch (...) {
        errors[n] = std::current_exception();
      }
    }
  };
  parallel_for(std::ssize(pictures), make_range, 1, 1);
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  return batch;
}

std::vector<DetectionBatch> micro_batches(DetectionBatch batch, std::int64_t parts) {
  require<ConfigError>(parts >= 1, "[detection] expected at least 1 micro-batch, got ", parts);
  const std::int64_t size = batch.size(), pieces = std::min(parts, size);
  std::vector<DetectionBatch> result;
  if (pieces == 1) {
    result.push_back(std::move(batch));
    return result;
  }
  const Shape& whole = batch.images.shape();
  const std::int64_t image = whole[1] * whole[2] * whole[3];
  std::int64_t first = 0;
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    const std::int64_t count = size / pieces + (piece < size % pieces ? 1 : 0),
                       last = first + count;
    const auto values = batch.images.values().subspan(static_cast<std::size_t>(first * image),
                                                      static_cast<std::size_t>(count * image));
    result.push_back({.images = Tensor::from({count, whole[1], whole[2], whole[3]}, values),
                      .boxes = {batch.boxes.begin() + first, batch.boxes.begin() + last},
                      .frames = {batch.frames.begin() + first, batch.frames.begin() + last}});
    first = last;
  }
  return result;
}

}  // namespace ebb
