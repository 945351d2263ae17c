#include <dnnl.hpp>

#include "rivals.h"

// oneDNN has two doors to the same product, the BLAS-like function and the matmul primitive; both
// run, and the faster one counts.
namespace rivals {
namespace {

using dnnl::memory;

std::function<void()> matmul(const Shape& shape, memory::data_type in, memory::data_type out,
                             const void* a, const void* b, void* c) {
  using Tag = memory::format_tag;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const memory::desc left({shape.m, shape.k}, in, shape.a_transposed ? Tag::ba : Tag::ab);
  const memory::desc right({shape.k, shape.n}, in, Tag::ab),
      result({shape.m, shape.n}, out, Tag::ab);
  const dnnl::matmul primitive(dnnl::matmul::primitive_desc({left, right, result}, engine));
  const std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SRC, memory(left, engine, const_cast<void*>(a))},
      {DNNL_ARG_WEIGHTS, memory(right, engine, const_cast<void*>(b))},
      {DNNL_ARG_DST, memory(result, engine, c)}};
  return [=, stream = dnnl::stream(engine)]() mutable {
    primitive.execute(stream, arguments);
    stream.wait();
  };
}

char transposed(const Shape& shape) { return shape.a_transposed ? 'T' : 'N'; }
long stride_a(const Shape& shape) { return shape.a_transposed ? shape.m : shape.k; }

}  // namespace

std::vector<Contender> onednn_float(const Shape& s, const float* a, const float* b, float* c) {
  using Type = memory::data_type;
  const auto sgemm = [=] {
    dnnl::sgemm(transposed(s), 'N', s.m, s.n, s.k, 1.0f, a, stride_a(s), b, s.n, 0.0f, c, s.n);
  };
  return {{"oneDNN f32 gemm", sgemm},
          {"oneDNN f32 matmul", matmul(s, Type::f32, Type::f32, a, b, c)}};
}

std::vector<Contender> onednn_int8(const Shape& s, const signed char* a, const signed char* b,
                                   int* c) {
  using Type = memory::data_type;
  const auto gemm = [=] {
    static constexpr int zero = 0;
    dnnl::gemm_s8s8s32(transposed(s), 'N', 'F', s.m, s.n, s.k, 1.0f, a, stride_a(s), 0, b, s.n, 0,
                       0.0f, c, s.n, &zero);
  };
  return {{"oneDNN s8s8s32 gemm", gemm},
          {"oneDNN s8s8s32 matmul", matmul(s, Type::s8, Type::s32, a, b, c)}};
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl::version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

}  // namespace rivals
