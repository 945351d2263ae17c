#include "data/images.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/math.h"
#include "core/sha256.h"

namespace ebb {
namespace {

struct Moments {
  double mean, variance;
};

Moments channel_moments(const std::vector<std::uint8_t>& pixels, std::size_t channel,
                        std::size_t channels) {
  std::uint64_t n = 0, sum = 0, squares = 0;  // exact: 2^46 pixels fit
  for (std::size_t i = channel; i < pixels.size(); i += channels, ++n) {
    sum += pixels[i];
    squares += std::uint64_t{pixels[i]} * pixels[i];
  }
  const uint128 spread =
      static_cast<uint128>(n) * squares -
      static_cast<uint128>(sum) * sum;  // n^2 variance, before the scaling by 255
  const auto count = static_cast<double>(n);
  return {static_cast<double>(sum) / count / 255.0,
          static_cast<double>(spread) / count / count / (255.0 * 255.0)};
}

Moments channel_moments(const std::vector<float>& pixels, std::size_t channel,
                        std::size_t channels) {
  const std::size_t count = pixels.size() / channels;
  const auto n = static_cast<double>(count);
  double sum = 0.0, squares = 0.0;
  for (std::size_t i = channel; i < pixels.size(); i += channels) sum += pixels[i];
  const double mean = sum / n;
  for (std::size_t i = channel; i < pixels.size(); i += channels)
    squares += (pixels[i] - mean) * (pixels[i] - mean);
  return {mean, squares / n};
}

void hash_number(Sha256& hash, std::uint64_t value) {
  std::array<std::byte, 8> bytes{};  // little-endian on every machine
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(value >> (8 * i));
  hash.update(bytes);
}

void hash_values(Sha256& hash, const std::vector<std::uint8_t>& pixels) {
  hash.update(std::as_bytes(std::span(pixels)));
}

void hash_values(Sha256& hash, const std::vector<float>& pixels) {
  for (const float value : pixels) hash_number(hash, std::bit_cast<std::uint32_t>(value));
}

}  // namespace

std::string ImageSet::fingerprint() const {
  Sha256 hash;
  hash_number(hash, pixels.index());
  for (const std::int64_t extent : shape.extents())
    hash_number(hash, static_cast<std::uint64_t>(extent));
  hash_number(hash, static_cast<std::uint64_t>(classes));
  hash_number(hash, labels.size());
  for (const std::int32_t label : labels) hash_number(hash, static_cast<std::uint64_t>(label));
  std::visit([&](const auto& values) { hash_values(hash, values); }, pixels);
  return hash.hex();
}

void require_consistent(const ImageSet& set) {
  require<DataError>(set.shape.rank() == 3 && set.shape.size() > 0, "[data] ", set.name,
                     ": expected images [height, width, channels], got ", set.shape);
  require<DataError>(set.count() > 0, "[data] ", set.name, ": the set has no images");
  const auto size = std::visit([](const auto& values) { return values.size(); }, set.pixels);
  require<DataError>(size / static_cast<std::size_t>(set.shape.size()) == set.labels.size() &&
                         size % static_cast<std::size_t>(set.shape.size()) == 0,
                     "[data] ", set.name, ": expected ", set.count(), " images of shape ",
                     set.shape, " for as many labels, got ", size, " pixel values");
  for (std::size_t i = 0; i < set.labels.size(); ++i) {
    require<DataError>(set.labels[i] >= 0 && set.labels[i] < set.classes, "[data] ", set.name,
                       ": label ", set.labels[i], " of image ", i, " is none of the ", set.classes,
                       " classes 0 .. ", set.classes - 1);
  }
  if (const auto* reals = std::get_if<std::vector<float>>(&set.pixels)) {
    const auto bad =
        std::ranges::find_if_not(*reals, [](float value) { return std::isfinite(value); });
    require<DataError>(bad == reals->end(), "[data] ", set.name, ": image ",
                       (bad - reals->begin()) / set.shape.size(),
                       " has a pixel that is not finite");
  }
}

Normalization measure_normalization(const ImageSet& set) {
  Normalization result;
  for (std::int64_t channel = 0; channel < set.shape[2]; ++channel) {
    const Moments moments = std::visit(
        [&](const auto& values) {
          return channel_moments(values, static_cast<std::size_t>(channel),
                                 static_cast<std::size_t>(set.shape[2]));
        },
        set.pixels);
    const auto deviation = static_cast<float>(std::sqrt(moments.variance));
    require<DataError>(deviation > 0.0f && std::isfinite(deviation), "[data] ", set.name,
                       ": channel ", channel, " cannot be normalised: its standard deviation is ",
                       deviation);
    result.mean.push_back(static_cast<float>(moments.mean));
    result.std.push_back(deviation);
  }
  return result;
}

ImageSet subset(const ImageSet& set, std::span<const std::int64_t> indices) {
  for (const std::int64_t i : indices) {
    require<ConfigError>(i >= 0 && i < set.count(), "[subset] expected indices 0 .. ",
                         set.count() - 1, " into ", set.name, ", got ", i);
  }
  ImageSet part{.name = set.name,
                .shape = set.shape,
                .classes = set.classes,
                .pixels = {},
                .labels = {},
                .normalization = set.normalization};
  for (const std::int64_t i : indices)
    part.labels.push_back(set.labels[static_cast<std::size_t>(i)]);
  std::visit(
      [&]<class Values>(const Values& all) {
        Values values;
        values.reserve(indices.size() * static_cast<std::size_t>(set.shape.size()));
        for (const std::int64_t i : indices) {
          const auto first = all.begin() + i * set.shape.size();
          values.insert(values.end(), first, first + set.shape.size());
        }
        part.pixels = std::move(values);
      },
      set.pixels);
  return part;
}

ValidationSplit split_validation(const ImageSet& set, double fraction, Key key) {
  require<ConfigError>(fraction > 0.0 && fraction < 1.0,
                       "[validation] expected a fraction between 0 and 1, got ", fraction);
  const auto aside =
      static_cast<std::int64_t>(math::round_half_even(fraction * static_cast<double>(set.count())));
  require<ConfigError>(aside > 0 && aside < set.count(), "[validation] a fraction of ", fraction,
                       " of ", set.count(), " images sets ", aside,
                       " aside; both parts need images");
  std::vector<std::int64_t> order(static_cast<std::size_t>(set.count()));
  std::iota(order.begin(), order.end(), 0);
  shuffle_indices(key, order);
  const auto middle = order.begin() + aside;
  std::sort(order.begin(), middle);
  std::sort(middle, order.end());
  const std::span all(order);
  return {.train = subset(set, all.subspan(static_cast<std::size_t>(aside))),
          .validation = subset(set, all.first(static_cast<std::size_t>(aside)))};
}

}  // namespace ebb
