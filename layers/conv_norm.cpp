#include "layers/conv_norm.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "layers/convolution.h"
#include "layers/normalisation.h"

namespace ebb {

ConvNorm ConvNorm::create(ParamStore& params, Site site, const std::string& norm_name,
                          Tensor weight, const ConvConfig& config) {
  const std::int64_t channels = weight.shape()[0];
  Conv2d conv = Conv2d::create(params, std::move(site), std::move(weight), config);
  return {std::move(conv), BatchNorm::create(params, norm_name, channels)};
}

Var ConvNorm::operator()(Pass& pass, Var x, const BatchNorm::Then& then) const {
  if (pass.counting) {  // the convolution has all products
    std::vector<Var> inputs{conv(pass, x)};
    if (then.add) inputs.push_back(*then.add);
    return pass.tape.record_shape(pass.tape.shape(inputs[0]), inputs);
  }
  const Convolution convolution(pass, conv, x);
  const ConvExtents& e = convolution.extents();
  const auto columns =
      pass.training() && !norm.frozen
          ? std::make_shared<ColumnBlocks>(e.output().size() / e.out, e.out, pass.simd)
          : nullptr;
  const auto between = std::make_shared<const Tensor>(convolution.forward(columns.get()));
  return normalise(
      pass, norm, then,
      {.shape = e.output(),
       .data = between->data(),
       .owner = between,
       .columns = columns,
       .inputs = convolution.inputs(),
       .backward = [convolution](Tensor&& g, const std::optional<Range>& range, Adjoints& grads) {
         convolution.backward(g, range, grads);
       }});
}

}  // namespace ebb
