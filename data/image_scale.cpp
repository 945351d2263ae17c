#include "data/image_scale.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/error.h"

namespace ebb {
namespace {

constexpr std::int64_t kChannels = 3, kMostSide = std::int64_t{1} << 14;

/// How much the source pixels from `first` on count for a target pixel, in units that add to `sum`.
struct Taps {
  std::int64_t first = 0;
  std::vector<std::uint64_t> weights{};
  std::uint64_t sum = 0;

  void add(std::int64_t weight) {
    weights.push_back(static_cast<std::uint64_t>(weight));
    sum += weights.back();
  }
};

/// What each of `side` pixels covers of `extent`, in units of 1 / side of a source pixel.
std::vector<Taps> areas(std::int64_t extent, std::int64_t side) {
  std::vector<Taps> all;
  for (std::int64_t target = 0; target < side; ++target) {
    const std::int64_t begin = target * extent, end = begin + extent;
    Taps taps{.first = begin / side};
    for (std::int64_t source = taps.first; source * side < end; ++source)
      taps.add(std::min(end, (source + 1) * side) - std::max(begin, source * side));
    all.push_back(std::move(taps));
  }
  return all;
}

/// The triangles of `resized`, in units of 1 / (2 max(extent, side)): places are counted in units
/// of 1 / (2 side) of a source pixel.
std::vector<Taps> triangles(std::int64_t extent, std::int64_t side) {
  const std::int64_t reach = 2 * std::max(extent, side);
  std::vector<Taps> all;
  for (std::int64_t target = 0; target < side; ++target) {
    const std::int64_t place = (2 * target + 1) * extent;
    const auto weight = [&](std::int64_t source) {
      return reach - std::abs((2 * source + 1) * side - place);
    };
    Taps taps{.first = std::max<std::int64_t>(0, (place - reach) / (2 * side) - 1)};
    while (weight(taps.first) <= 0) ++taps.first;
    for (std::int64_t source = taps.first; source < extent && weight(source) > 0; ++source)
      taps.add(weight(source));
    all.push_back(std::move(taps));
  }
  return all;
}

/// The pixels whose rows and columns see those of the picture, counted from (top, left), as `down`
/// and `across` say. Columns are summed first, over whole rows.
std::vector<std::uint8_t> resample(const Picture& picture, std::int64_t top, std::int64_t left,
                                   const std::vector<Taps>& down, const std::vector<Taps>& across) {
  std::vector<std::uint8_t> result;
  result.reserve(down.size() * across.size() * kChannels);
  std::vector<std::uint64_t> line(static_cast<std::size_t>(picture.width * kChannels));
  for (const Taps& y : down) {
    std::ranges::fill(line, 0);
    for (std::size_t i = 0; i < y.weights.size(); ++i) {
      const std::uint8_t* const row =
          picture.pixels.data() +
          (top + y.first + static_cast<std::int64_t>(i)) * picture.width * kChannels;
      for (std::size_t j = 0; j < line.size(); ++j) line[j] += y.weights[i] * row[j];
    }
    for (const Taps& x : across) {
      std::array<std::uint64_t, kChannels> sums{};
      const std::uint64_t* from = line.data() + (left + x.first) * kChannels;
      for (const std::uint64_t weight : x.weights) {
        for (std::uint64_t& sum : sums) sum += weight * *from++;
      }
      const std::uint64_t whole = y.sum * x.sum;
      for (const std::uint64_t sum : sums)
        result.push_back(static_cast<std::uint8_t>((2 * sum + whole) / (2 * whole)));
    }
  }
  return result;
}

}  // namespace

std::vector<std::uint8_t> centred_square(const Picture& picture, std::int64_t side) {
  require<ConfigError>(side >= 1, "[images] expected pictures of at least 1 pixel, got ", side);
  const std::int64_t extent = std::min(picture.height, picture.width);
  const std::vector<Taps> taps = areas(extent, side);
  return resample(picture, (picture.height - extent) / 2, (picture.width - extent) / 2, taps, taps);
}

Picture resized(const Picture& picture, std::int64_t height, std::int64_t width) {
  require<ConfigError>(height >= 1 && height <= kMostSide && width >= 1 && width <= kMostSide,
                       "[images] expected a size of 1 .. ", kMostSide, " pixels, got ", height,
                       " x ", width);
  if (height == picture.height && width == picture.width) return picture;
  return {.height = height,
          .width = width,
          .pixels = resample(picture, 0, 0, triangles(picture.height, height),
                             triangles(picture.width, width))};
}

}  // namespace ebb
