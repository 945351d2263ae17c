#include <ebb/core/eigen.h>
#include <ebb/ebb.h>

#include <cstdio>
#include <utility>

namespace {

using namespace ebb;

/// y = x / (1 + |x|), as in own_op.cpp: one expression a direction. Functions of single elements
/// have the same bits in Eigen as in a loop; products go through the pass, and sums through
/// core/sums.h.
Var softsign(Pass& pass, Var x) {
  Tensor y = Tensor::uninitialized(pass.tape.shape(x));
  as_array(y) = as_array(pass.tape[x]) / (1 + as_array(pass.tape[x]).abs());
  return pass.tape.record(std::move(y), {x}, [=, &pass](Tensor&& g, Adjoints& grads) {
    as_array(g) /= (1 + as_array(pass.tape[x]).abs()).square();
    grads.add(x, std::move(g));
  });
}

}  // namespace

int main() {
  const Tensor x = normal_init({5, 4}, 1.0, Key(1));
  ParamStore params;
  const auto wrong = wrong_gradients(
      params, {x}, 4, [](Pass& pass, const std::vector<Var>& v) { return softsign(pass, v[0]); });
  for (const CheckedGradient& gradient : wrong) std::printf("%s\n", to_text(gradient).c_str());

  // Small dense algebra for a report, in double: its last bits depend on the vector width.
  const Eigen::MatrixXd m = as_matrix(x).cast<double>();
  const Eigen::MatrixXd gram = m.transpose() * m;
  const Tensor back = to_tensor(gram);  // rounded to float32
  std::printf("%zu wrong gradients; x^T x is %s, its trace %.6f, |x|^2 %.6f\n", wrong.size(),
              to_text(back.shape()).c_str(), gram.trace(),
              as_array(x).cast<double>().square().sum());
  return wrong.empty() ? 0 : 1;
}
