#include "data/scenes.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/math.h"

namespace ebb {
namespace {

using Colour = std::array<double, 3>;

constexpr double kHeight = static_cast<double>(kSceneHeight),
                 kWidth = static_cast<double>(kSceneWidth);

/// Draws of one scene, taken in the order in which the code below asks.
class Draws {
 public:
  explicit Draws(Key key) : key_(key) {}
  double between(double low, double high) { return low + (high - low) * key_.uniform(counter_++); }
  std::int64_t below(std::uint64_t n) {
    return static_cast<std::int64_t>(key_.below(counter_++, n));
  }

 private:
  Key key_;
  std::uint64_t counter_ = 0;
};

/// A disc of a radius, or a regular polygon whose corners lie on that circle; `turn` is in units of
/// half a turn.
struct SceneShape {
  std::int32_t label = 0;
  double x = 0, y = 0, radius = 0, turn = 0;
  Colour colour{};

  [[nodiscard]] int corners() const { return label == 0 ? 0 : label == 1 ? 4 : 3; }

  /// Of a point outside about its distance to the shape, inside minus that to the nearest edge.
  [[nodiscard]] double distance(double px, double py) const {
    const double dx = px - x, dy = py - y;
    const int n = corners();
    if (n == 0) return std::sqrt(dx * dx + dy * dy) - radius;
    double most = -radius;
    for (int k = 0; k < n; ++k) {
      const double normal = turn + (2 * k + 1.0) / n;
      most = std::max(most, dx * math::cos_pi(normal) + dy * math::sin_pi(normal));
    }
    return most - radius * math::cos_pi(1.0 / n);
  }

  [[nodiscard]] Box box() const {
    double left = -radius, right = radius, top = -radius, bottom = radius;
    for (int k = 0; k < corners(); ++k) {
      const double angle = turn + 2.0 * k / corners();
      const double cx = radius * math::cos_pi(angle), cy = radius * math::sin_pi(angle);
      left = k == 0 ? cx : std::min(left, cx);
      right = k == 0 ? cx : std::max(right, cx);
      top = k == 0 ? cy : std::min(top, cy);
      bottom = k == 0 ? cy : std::max(bottom, cy);
    }
    return {.left = static_cast<float>(x + left),
            .top = static_cast<float>(y + top),
            .right = static_cast<float>(x + right),
            .bottom = static_cast<float>(y + bottom)};
  }
};

struct Layout {
  Colour ground{};
  std::vector<SceneShape> shapes{};
};

bool clear_of(const Box& a, const Box& b) {
  const double width = std::min(a.right, b.right) - std::max(a.left, b.left),
               height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  if (width <= 0 || height <= 0) return true;
  const double smaller =
      std::min(double{a.width()} * double{a.height()}, double{b.width()} * double{b.height()});
  return width * height <= 0.3 * smaller;
}

/// Any colour, but in one channel far from the ground.
Colour draw_colour(const Colour& ground, Draws& draws) {
  const auto far = static_cast<std::size_t>(draws.below(3));
  Colour colour;
  for (std::size_t c = 0; c < colour.size(); ++c) {
    const double away = draws.between(0.35, 0.6);
    colour[c] = c == far ? ground[c] + (ground[c] < 0.5 ? away : -away) : draws.between(0.0, 1.0);
  }
  return colour;
}

Layout draw_layout(Key key) {
  constexpr int tries = 20;
  Draws draws(key);
  Layout layout;
  for (double& channel : layout.ground) channel = draws.between(0.2, 0.8);
  const std::int64_t count = 1 + draws.below(5);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::int32_t>(draws.below(kSceneClasses.size()));
    const double size = draws.between(14.0, 30.0);
    const double radius = label == 0 ? 0.85 * size : size;
    const Colour colour = draw_colour(layout.ground, draws);
    for (int attempt = 0; attempt < tries; ++attempt) {
      const SceneShape shape{.label = label,
                             .x = draws.between(radius, kWidth - radius),
                             .y = draws.between(radius, kHeight - radius),
                             .radius = radius,
                             .turn = draws.between(0.0, 2.0),
                             .colour = colour};
      const bool free = std::ranges::all_of(layout.shapes, [&](const SceneShape& other) {
        return clear_of(shape.box(), other.box());
      });
      if (!free) continue;
      layout.shapes.push_back(shape);
      break;
    }
  }
  return layout;
}

struct Wave {
  double across, down, phase, height;
};

/// What is added to the ground, the same in every channel.
std::vector<double> draw_texture(Key key) {
  Draws draws(key);
  std::array<Wave, 2> waves{};
  for (Wave& wave : waves)
    wave = {.across = draws.between(-0.12, 0.12),
            .down = draws.between(-0.12, 0.12),
            .phase = draws.between(0.0, 2.0),
            .height = draws.between(0.02, 0.1)};
  std::vector<double> texture;
  texture.reserve(static_cast<std::size_t>(kSceneHeight * kSceneWidth));
  for (std::int64_t y = 0; y < kSceneHeight; ++y) {
    for (std::int64_t x = 0; x < kSceneWidth; ++x) {
      double sum = 0;
      for (const Wave& wave : waves)
        sum += wave.height * math::sin_pi(wave.across * static_cast<double>(x) +
                                          wave.down * static_cast<double>(y) + wave.phase);
      texture.push_back(sum);
    }
  }
  return texture;
}

/// Lays one shape over the picture. Pixel (y, x) is seen at its middle.
void paint(std::vector<double>& light, const SceneShape& shape) {
  const Box box = shape.box();
  const auto first = [](float edge) {
    return std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(edge)) - 1);
  };
  const auto last = [](float edge, std::int64_t size) {
    return std::min(size - 1, static_cast<std::int64_t>(std::ceil(edge)));
  };
  for (std::int64_t y = first(box.top); y <= last(box.bottom, kSceneHeight); ++y) {
    for (std::int64_t x = first(box.left); x <= last(box.right, kSceneWidth); ++x) {
      const double distance =
          shape.distance(static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5);
      const double share = std::clamp(0.5 - distance, 0.0, 1.0);
      double* const pixel = light.data() + (y * kSceneWidth + x) * 3;
      for (std::size_t c = 0; c < 3; ++c) pixel[c] += share * (shape.colour[c] - pixel[c]);
    }
  }
}

Key key_of(Key key, std::int64_t index) { return key.fold("scene").fold(index); }

std::vector<BoxLabel> boxes_of(const Layout& layout) {
  std::vector<BoxLabel> boxes;
  for (const SceneShape& shape : layout.shapes)
    boxes.push_back({.box = shape.box(), .label = shape.label});
  return boxes;
}

}  // namespace

std::vector<BoxLabel> scene_boxes(Key key, std::int64_t index) {
  return boxes_of(draw_layout(key_of(key, index).fold("layout")));
}

Picture scene(Key key, std::int64_t index) {
  const Key own = key_of(key, index);
  const Layout layout = draw_layout(own.fold("layout"));
  const std::vector<double> texture = draw_texture(own.fold("texture"));
  std::vector<double> light;
  light.reserve(texture.size() * 3);
  for (const double added : texture) {
    for (const double channel : layout.ground) light.push_back(channel + added);
  }
  for (const SceneShape& shape : layout.shapes) paint(light, shape);
  const Key grain = own.fold("grain");
  const double noise = 0.02 + 0.06 * own.fold("noise").uniform(0);
  Picture picture{.height = kSceneHeight, .width = kSceneWidth, .pixels = {}};
  picture.pixels.reserve(light.size());
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < light.size(); ++i, bits >>= 16) {
    if (i % 4 == 0) bits = grain.bits(i / 4);  // 16 bits an element
    const double lit = light[i] + noise * (static_cast<double>(bits & 0xffff) / 32768.0 - 1.0);
    picture.pixels.push_back(
        static_cast<std::uint8_t>(std::floor(std::clamp(lit, 0.0, 1.0) * 255.0 + 0.5)));
  }
  return picture;
}

DetectionSet scene_set(std::string name, std::int64_t count, Key key) {
  require<ConfigError>(count >= 1, "[scenes] expected at least 1 scene, got ", count);
  DetectionSet set{.name = std::move(name),
                   .classes = {kSceneClasses.begin(), kSceneClasses.end()},
                   .normalization = {.mean = {0.5f, 0.5f, 0.5f}, .std = {0.25f, 0.25f, 0.25f}},
                   .scenes = key};
  for (std::int64_t i = 0; i < count; ++i)
    set.pictures.push_back({.id = to_text(i),
                            .width = kSceneWidth,
                            .height = kSceneHeight,
                            .boxes = scene_boxes(key, i)});
  return set;
}

}  // namespace ebb
