// What a network does between its products. Bytes are those of a single pass over the tensors that
// are read and written.
#include "layers/batch_norm.h"
#include "layers/elementwise.h"
#include "layers/pool.h"
#include "rows.h"

namespace {

using namespace ebb;

const bool registered = [] {
  for (const std::int64_t channels : {16, 64}) {
    const Shape shape = channels == 16 ? Shape{128, 32, 32, 16} : Shape{128, 8, 8, 64};
    const double tensor = 4.0 * static_cast<double>(shape.size());  // bytes
    const auto params = std::make_shared<ParamStore>();
    const BatchNorm norm = BatchNorm::create(*params, "norm", channels);
    const auto add_rows = [&](const char* name, const std::function<Var(Pass&, Var)>& op,
                              double forward, double backward) {
      bench::add_op_rows(
          concat(name, '/', channels),
          {.input = shape,
           .op = op,
           .params = std::string_view(name).starts_with("batch_norm") ? params : nullptr},
          {.bytes = forward * tensor}, {.bytes = backward * tensor}, {.bytes = backward * tensor});
    };
    add_rows("batch_norm", norm, 2, 3);
    add_rows(
        "batch_norm_relu", [=](Pass& pass, Var x) { return norm(pass, x, {.relu = true}); }, 2, 4);
    add_rows(
        "batch_norm_add_relu",
        [=](Pass& pass, Var x) { return norm(pass, x, {.add = x, .relu = true}); }, 3, 5);
    add_rows(
        "relu", [](Pass& pass, Var x) { return relu(pass, x); }, 2, 3);
    add_rows(
        "add", [](Pass& pass, Var x) { return add(pass, x, x); }, 2, 2);
    add_rows(
        "dropout", [](Pass& pass, Var x) { return dropout(pass, x, 0.2, "dropout"); }, 2, 2);
    add_rows(
        "max_pool", [](Pass& pass, Var x) { return max_pool(pass, x, {}); }, 1.25, 1.25);
    add_rows(
        "global_avg_pool", [](Pass& pass, Var x) { return global_avg_pool(pass, x); }, 1, 1);
  }
  return true;
}();

}  // namespace
