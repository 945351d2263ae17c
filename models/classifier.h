#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/key.h"
#include "core/params.h"
#include "layers/pass.h"
#include "layers/sequence.h"

namespace ebb {

/// A network from images to logits. Its parameters live in the store that it was made with.
struct Classifier {
  std::string name{};
  Shape image{};  ///< of one image: [height, width, channels]
  int classes = 0;
  std::function<Var(Pass& pass, Var images)>
      forward{};                ///< [batch, height, width, channels] to [batch, classes]
  std::vector<Layer> layers{};  ///< of a plain sequence; of other networks empty
};

/// Names that make_classifier knows.
const std::vector<std::string>& known_architectures();

/// Builds a network for images of the given shape, adding its parameters and state to the store;
/// `key` draws the initial values.
/// @throws ConfigError for an unknown architecture, fewer than 2 classes, or images that the
/// architecture cannot take
Classifier make_classifier(std::string_view architecture, const Shape& image, int classes,
                           ParamStore& params, Key key);

}  // namespace ebb
