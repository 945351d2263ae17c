#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layers/sequence.h"
#include "models/classifier.h"

namespace ebb {

/// Puts a plain sequence of layers together, in the order of the calls. The weights of a layer are
/// drawn by key.fold(its name).
struct SequenceBuilder {
  ParamStore& params;
  Key key;
  Tensor (*init)(const Shape& weight, Key);
  /// Whether batch norm, "<name>_bn", follows every layer with products but the last; those before
  /// it have no bias.
  bool norm = false;
  Shape shape;  ///< of one example at this point: [height, width, channels] or [features]
  std::vector<Layer> layers{};

  void conv(Site site, std::int64_t out, std::int64_t taps, const ConvConfig& config = {});
  void max_pool(std::int64_t window);  ///< and as large a stride
  void relu() { layers.emplace_back(Relu{}); }
  void flatten();
  void linear(Site site, std::int64_t out);
  /// Logits. @returns the finished network
  Classifier classifier(std::string name, Site site, const Shape& image, int classes);

 private:
  void add_norm(const std::string& site, std::int64_t channels);
};

}  // namespace ebb
