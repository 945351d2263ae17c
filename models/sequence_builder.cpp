#include "models/sequence_builder.h"

#include <optional>
#include <utility>

namespace ebb {

void SequenceBuilder::add_norm(const std::string& site, std::int64_t channels) {
  if (norm) layers.emplace_back(BatchNorm::create(params, site + "_bn", channels));
}

void SequenceBuilder::conv(Site site, std::int64_t out, std::int64_t taps,
                           const ConvConfig& config) {
  const std::string name = site.name;
  Tensor weight = init({out, taps, taps, shape[2]}, key.fold(name));
  const auto extent = [&](std::int64_t in) {
    return (in + 2 * config.pad - taps) / config.stride + 1;
  };
  shape = {extent(shape[0]), extent(shape[1]), out};
  layers.emplace_back(Conv2d::create(params, std::move(site), std::move(weight), config,
                                     norm ? std::nullopt : std::optional(Tensor::zeros({out}))));
  add_norm(name, out);
}

void SequenceBuilder::max_pool(std::int64_t window) {
  layers.emplace_back(MaxPool{{.window = window, .stride = window}});
  shape = {shape[0] / window, shape[1] / window, shape[2]};
}

void SequenceBuilder::flatten() {
  layers.emplace_back(Flatten{});
  shape = {shape.size()};
}

void SequenceBuilder::linear(Site site, std::int64_t out) {
  const std::string name = site.name;
  Tensor weight = init({out, shape[0]}, key.fold(name));
  layers.emplace_back(Linear::create(params, std::move(site), std::move(weight),
                                     norm ? std::nullopt : std::optional(Tensor::zeros({out}))));
  shape = {out};
  add_norm(name, out);
}

Classifier SequenceBuilder::classifier(std::string name, Site site, const Shape& image,
                                       int classes) {
  norm = false;
  linear(std::move(site), classes);
  return {std::move(name), image, classes,
          [layers = layers](Pass& pass, Var x) { return forward(pass, layers, x); }, layers};
}

}  // namespace ebb
