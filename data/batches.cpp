#include "data/batches.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"

namespace ebb {
namespace {

/// Where an image is read: output pixel (y, x) shows input pixel (y + down, x + right), of the
/// mirrored row when mirrored.
struct Placement {
  std::int64_t down = 0, right = 0;
  bool mirrored = false;
};

Placement draw_placement(const Augmentation& augmentation, Key key, std::int64_t image) {
  const auto counter = 3 * static_cast<std::uint64_t>(image);
  const auto places = 2 * static_cast<std::uint64_t>(augmentation.pad) + 1;
  return {.down = static_cast<std::int64_t>(key.below(counter, places)) - augmentation.pad,
          .right = static_cast<std::int64_t>(key.below(counter + 1, places)) - augmentation.pad,
          .mirrored = augmentation.flip && key.below(counter + 2, 2) == 1};
}

/// Turns stored pixel values into normalised float32: (value - mean) / std, where a byte's value is
/// byte / 255.
class Normalizer {
 public:
  explicit Normalizer(const ImageSet& set)
      : normalization_(set.normalization), channels_(set.shape[2]) {
    const auto channels = static_cast<std::size_t>(channels_);
    require<DataError>(
        normalization_.mean.size() == channels && normalization_.std.size() == channels,
        "[batches] ", set.name, ": expected a mean and a std for each of ", channels,
        " channels; set them, e.g. by measure_normalization");
    if (!std::holds_alternative<std::vector<std::uint8_t>>(set.pixels)) return;
    for (int byte = 0; byte < 256; ++byte) {
      for (std::size_t c = 0; c < channels; ++c)
        table_.push_back(normalized(static_cast<float>(byte) / 255.0f, c));
    }
  }

  void operator()(const std::uint8_t* pixel, float* target) const {
    for (std::int64_t c = 0; c < channels_; ++c)
      target[c] = table_[static_cast<std::size_t>(pixel[c] * channels_ + c)];
  }
  void operator()(const float* pixel, float* target) const {
    for (std::int64_t c = 0; c < channels_; ++c)
      target[c] = normalized(pixel[c], static_cast<std::size_t>(c));
  }

 private:
  [[nodiscard]] float normalized(float value, std::size_t channel) const {
    return (value - normalization_.mean[channel]) / normalization_.std[channel];
  }

  const Normalization& normalization_;
  std::int64_t channels_;
  std::vector<float> table_;  // [byte, channel]
};

template <class Value>
void place_image(const Value* image, const Value* zero, const Shape& shape, const Placement& at,
                 const Normalizer& normalize, float* target) {
  const std::int64_t height = shape[0], width = shape[1], channels = shape[2];
  for (std::int64_t y = 0; y < height; ++y) {
    const std::int64_t row = y + at.down;
    for (std::int64_t x = 0; x < width; ++x, target += channels) {
      const std::int64_t column = (at.mirrored ? width - 1 - x : x) + at.right;
      const bool inside = row >= 0 && row < height && column >= 0 && column < width;
      normalize(inside ? image + (row * width + column) * channels : zero, target);
    }
  }
}

/// The batch of the given images; `place` tells where each is read.
template <class Place>
Batch gather(const ImageSet& set, std::span<const std::int64_t> images, const Place& place) {
  const Normalizer normalize(set);
  Batch batch{.inputs = Tensor::uninitialized({static_cast<std::int64_t>(images.size()),
                                               set.shape[0], set.shape[1], set.shape[2]}),
              .labels = {}};
  for (const std::int64_t i : images)
    batch.labels.push_back(set.labels[static_cast<std::size_t>(i)]);
  const std::int64_t size = set.shape.size();
  float* const target = batch.inputs.data();
  std::visit(
      [&]<class Value>(const std::vector<Value>& pixels) {
        const std::vector<Value> zero(
            static_cast<std::size_t>(set.shape[2]));  // a pixel of the padding
        parallel_rows(batch.size(), size, [&](std::int64_t first, std::int64_t last) {
          for (std::int64_t n = first; n < last; ++n) {
            const std::int64_t i = images[static_cast<std::size_t>(n)];
            place_image(pixels.data() + i * size, zero.data(), set.shape, place(i), normalize,
                        target + n * size);
          }
        });
      },
      set.pixels);
  return batch;
}

}  // namespace

BatchSource::BatchSource(const ImageSet& set, BatchOptions options, Key key)
    : set_(&set),
      options_(options),
      key_(key),
      order_(set.count(), options.batch, key.fold("order")) {
  require<ConfigError>(options.augmentation.pad >= 0,
                       "[batches] expected a padding of at least 0 pixels, got ",
                       options.augmentation.pad);
  require_consistent(set);
  const Normalizer complete(set);
}

Batch BatchSource::batch(std::int64_t iteration) const {
  const std::vector<std::int64_t> images = indices(iteration);
  const Key key = key_.fold("augment").fold(static_cast<std::uint64_t>(order_.epoch(iteration)));
  return gather(*set_, images, [&](std::int64_t image) {
    return draw_placement(options_.augmentation, key, image);
  });
}

Batch batch_in_file_order(const ImageSet& set, std::int64_t first, std::int64_t count) {
  require<ConfigError>(
      first >= 0 && count >= 0 && first <= set.count() && count <= set.count() - first,
      "[batches] images ", first, " .. ", first + count - 1, " are not all in ", set.name,
      ", which has ", set.count());
  std::vector<std::int64_t> images(static_cast<std::size_t>(count));
  std::iota(images.begin(), images.end(), first);
  return gather(set, images, [](std::int64_t) { return Placement{}; });
}

std::vector<Batch> micro_batches(Batch batch, std::int64_t parts) {
  require<ConfigError>(parts >= 1, "[batches] expected at least 1 micro-batch, got ", parts);
  const std::int64_t pieces = std::min(parts, batch.size());
  std::vector<Batch> result;
  if (pieces == 1) {
    result.push_back(std::move(batch));
    return result;
  }
  const std::int64_t image = batch.size() > 0 ? batch.inputs.size() / batch.size() : 0;
  const std::array tail{batch.inputs.shape()[1], batch.inputs.shape()[2], batch.inputs.shape()[3]};
  std::int64_t first = 0;
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    const std::int64_t size = batch.size() / pieces + (piece < batch.size() % pieces ? 1 : 0);
    const auto values = batch.inputs.values().subspan(static_cast<std::size_t>(first * image),
                                                      static_cast<std::size_t>(size * image));
    result.push_back(
        {.inputs = Tensor::from({size, tail[0], tail[1], tail[2]}, values),
         .labels = {batch.labels.begin() + first, batch.labels.begin() + first + size}});
    first += size;
  }
  return result;
}

}  // namespace ebb
