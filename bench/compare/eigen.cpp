#include <Eigen/Core>

#include "rivals.h"

namespace rivals {

std::vector<Contender> eigen(const Shape& shape, const float* a, const float* b, float* c) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto run = [=] {
    const Eigen::Map<const Matrix> right(b, shape.k, shape.n);
    Eigen::Map<Matrix> out(c, shape.m, shape.n);
    if (shape.a_transposed) {
      out.noalias() = Eigen::Map<const Matrix>(a, shape.k, shape.m).transpose() * right;
    } else {
      out.noalias() = Eigen::Map<const Matrix>(a, shape.m, shape.k) * right;
    }
  };
  return {{"Eigen f32", run}};
}

std::string eigen_version() {
  return "Eigen " + std::to_string(EIGEN_WORLD_VERSION) + "." +
         std::to_string(EIGEN_MAJOR_VERSION) + "." + std::to_string(EIGEN_MINOR_VERSION) + " (" +
         Eigen::SimdInstructionSetsInUse() + ")";
}

}  // namespace rivals
