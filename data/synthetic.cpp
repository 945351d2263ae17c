#include "data/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "core/error.h"
#include "core/math.h"
#include "core/parallel.h"

namespace ebb {
namespace {

struct Point {
  double x, y;
};
struct Stroke {
  Point from, to;
};

// The signs in the square -1 .. 1, y downwards.
constexpr Stroke kRing[] = {{{-0.4, -1}, {0.4, -1}},     {{0.4, -1}, {0.9, -0.4}},
                            {{0.9, -0.4}, {0.9, 0.4}},   {{0.9, 0.4}, {0.4, 1}},
                            {{0.4, 1}, {-0.4, 1}},       {{-0.4, 1}, {-0.9, 0.4}},
                            {{-0.9, 0.4}, {-0.9, -0.4}}, {{-0.9, -0.4}, {-0.4, -1}}};
constexpr Stroke kBar[] = {{{0, -1}, {0, 1}}};
constexpr Stroke kTee[] = {{{-0.9, -1}, {0.9, -1}}, {{0, -1}, {0, 1}}};
constexpr Stroke kPlus[] = {{{-1, 0}, {1, 0}}, {{0, -1}, {0, 1}}};
constexpr Stroke kCross[] = {{{-0.9, -1}, {0.9, 1}}, {{0.9, -1}, {-0.9, 1}}};
constexpr Stroke kWye[] = {{{-0.9, -1}, {0, 0}}, {{0.9, -1}, {0, 0}}, {{0, 0}, {0, 1}}};
constexpr Stroke kAitch[] = {{{-0.8, -1}, {-0.8, 1}}, {{0.8, -1}, {0.8, 1}}, {{-0.8, 0}, {0.8, 0}}};
constexpr Stroke kTriangle[] = {{{0, -1}, {-1, 0.9}}, {{0, -1}, {1, 0.9}}, {{-1, 0.9}, {1, 0.9}}};
constexpr Stroke kCup[] = {
    {{-0.9, -1}, {-0.9, 0.9}}, {{0.9, -1}, {0.9, 0.9}}, {{-0.9, 0.9}, {0.9, 0.9}}};
constexpr Stroke kArrow[] = {{{0, -1}, {0, 1}}, {{0, -1}, {-0.8, -0.1}}, {{0, -1}, {0.8, -0.1}}};
constexpr std::array<std::span<const Stroke>, 10> kSigns{kRing, kBar,   kTee,      kPlus, kCross,
                                                         kWye,  kAitch, kTriangle, kCup,  kArrow};

/// Draws of one image, taken in the order in which the code below asks.
class Draws {
 public:
  explicit Draws(Key key) : key_(key) {}
  double between(double low, double high) { return low + (high - low) * key_.uniform(counter_++); }

 private:
  Key key_;
  std::uint64_t counter_ = 0;
};

/// How much ink lies on each pixel of a square picture, 0 .. 1.
class Ink {
 public:
  explicit Ink(std::int64_t side) : side_(side), ink_(static_cast<std::size_t>(side * side)) {}

  /// A line with round ends; its edge is one pixel wide. Pixel (y, x) covers the point (x, y).
  void draw(const Stroke& stroke, double thickness) {
    const double reach = thickness / 2 + 0.5;
    const Point along{stroke.to.x - stroke.from.x, stroke.to.y - stroke.from.y};
    const double length2 = along.x * along.x + along.y * along.y;
    for (std::int64_t y = first(std::min(stroke.from.y, stroke.to.y) - reach);
         y <= last(std::max(stroke.from.y, stroke.to.y) + reach); ++y) {
      for (std::int64_t x = first(std::min(stroke.from.x, stroke.to.x) - reach);
           x <= last(std::max(stroke.from.x, stroke.to.x) + reach); ++x) {
        const Point p{static_cast<double>(x) - stroke.from.x,
                      static_cast<double>(y) - stroke.from.y};
        const double at = std::clamp((p.x * along.x + p.y * along.y) / length2, 0.0, 1.0);
        const double dx = p.x - at * along.x, dy = p.y - at * along.y;
        double& ink = ink_[static_cast<std::size_t>(y * side_ + x)];
        ink = std::max(ink, std::clamp(reach - std::sqrt(dx * dx + dy * dy), 0.0, 1.0));
      }
    }
  }

  [[nodiscard]] double at(std::int64_t y, std::int64_t x) const {
    return ink_[static_cast<std::size_t>(y * side_ + x)];
  }

 private:
  [[nodiscard]] std::int64_t first(double edge) const {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(edge)), 0, side_);
  }
  [[nodiscard]] std::int64_t last(double edge) const {
    return std::min(static_cast<std::int64_t>(std::floor(edge)), side_ - 1);
  }

  std::int64_t side_;
  std::vector<double> ink_;
};

Ink draw_sign(std::span<const Stroke> sign, std::int64_t side, Draws& draws) {
  const double half = static_cast<double>(side - 1) / 2, unit = static_cast<double>(side) / 28;
  const double turn = draws.between(-0.1, 0.1), shear = draws.between(-0.15, 0.15);
  const double wide = draws.between(5.0, 9.0) * unit, high = draws.between(5.5, 9.5) * unit;
  const Point centre{half + draws.between(-4.0, 4.0) * unit,
                     half + draws.between(-4.0, 4.0) * unit};
  const double thickness = draws.between(1.4, 3.2) * unit;
  const double cosine = math::cos_pi(turn), sine = math::sin_pi(turn);
  const auto place = [&](Point p) {
    const double x = wide * (p.x + shear * p.y), y = high * p.y;
    return Point{centre.x + cosine * x - sine * y, centre.y + sine * x + cosine * y};
  };
  Ink ink(side);
  for (const Stroke& stroke : sign) ink.draw({place(stroke.from), place(stroke.to)}, thickness);
  const double length = draws.between(2.0, 5.0) * unit, heading = draws.between(0.0, 2.0);
  const Point stray{draws.between(0.0, 2 * half), draws.between(0.0, 2 * half)};
  ink.draw(
      {stray, {stray.x + length * math::cos_pi(heading), stray.y + length * math::sin_pi(heading)}},
      thickness);
  return ink;
}

/// Noise for every element of an image, uniform in [-1, 1) in steps of 2^-15: element i takes 16
/// bits of draw i / 4.
std::vector<double> draw_grain(std::int64_t elements, Key key) {
  std::vector<double> grain(static_cast<std::size_t>(elements));
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < grain.size(); ++i, bits >>= 16) {
    if (i % 4 == 0) bits = key.bits(i / 4);
    grain[i] = static_cast<double>(bits & 0xffff) / 32768.0 - 1.0;
  }
  return grain;
}

/// Writes one image [side, side, channels].
void paint(std::int64_t label, std::int64_t side, std::int64_t channels, Key key,
           std::uint8_t* pixels) {
  Draws draws(key.fold("shape"));
  const Ink ink = draw_sign(kSigns[static_cast<std::size_t>(label)], side, draws);
  const double noise = draws.between(0.02, 0.12);
  const std::vector<double> grain = draw_grain(side * side * channels, key.fold("grain"));
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    const double ground = draws.between(0.0, channels == 1 ? 0.4 : 0.6);
    const double slope_x = draws.between(-0.2, 0.2), slope_y = draws.between(-0.2, 0.2);
    const double contrast = channels == 1 ? draws.between(0.4, 0.7) : draws.between(0.1, 0.7);
    for (std::int64_t y = 0; y < side; ++y) {
      const double row =
          ground + slope_y * (static_cast<double>(y) / static_cast<double>(side) - 0.5);
      for (std::int64_t x = 0; x < side; ++x) {
        const auto element = static_cast<std::size_t>((y * side + x) * channels + channel);
        const double lit = row +
                           slope_x * (static_cast<double>(x) / static_cast<double>(side) - 0.5) +
                           contrast * ink.at(y, x) + noise * grain[element];
        pixels[element] =
            static_cast<std::uint8_t>(std::floor(std::clamp(lit, 0.0, 1.0) * 255.0 + 0.5));
      }
    }
  }
}

}  // namespace

ImageSet synthetic_images(SyntheticKind kind, std::int64_t count, Key key) {
  require<ConfigError>(count >= 1, "[synthetic] expected at least 1 image, got ", count);
  const bool grey = kind == SyntheticKind::grey;
  const std::int64_t side = grey ? 28 : 32, channels = grey ? 1 : 3, image = side * side * channels;
  ImageSet set{.name = grey ? "synthetic" : "synthetic-cifar",
               .shape = {side, side, channels},
               .classes = static_cast<int>(kSigns.size()),
               .pixels = {},
               .labels = std::vector<std::int32_t>(static_cast<std::size_t>(count)),
               .normalization = {}};
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count * image));
  const auto paint_range = [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      set.labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i % set.classes);
      paint(i % set.classes, side, channels, key.fold(static_cast<std::uint64_t>(i)),
            pixels.data() + i * image);
    }
  };
  parallel_for(count, paint_range, 64, 16);
  set.pixels = std::move(pixels);
  set.normalization = measure_normalization(set);
  return set;
}

}  // namespace ebb
