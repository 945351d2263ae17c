#pragma once

#include <functional>
#include <string>
#include <vector>

/// Other libraries' products c [m, n] = a [m, k] b [k, n] of row-major matrices; a may be stored
/// transposed, as [k, m]. Nothing is packed beforehand. Plain types only: each file behind this
/// line is compiled by settings of its own.
#pragma GCC visibility push(default)
namespace rivals {

struct Shape {
  long m, n, k;
  bool a_transposed;
};
struct Contender {
  std::string name;
  std::function<void()> run;
};

/// The memory must outlive what is returned.
std::vector<Contender> eigen(const Shape& shape, const float* a, const float* b, float* c);
std::vector<Contender> onednn_float(const Shape& shape, const float* a, const float* b, float* c);
std::vector<Contender> onednn_int8(const Shape& shape, const signed char* a, const signed char* b,
                                   int* c);

std::string eigen_version();
std::string onednn_version();

}  // namespace rivals
#pragma GCC visibility pop
