// Attention as a layer: encode, scores, softmax, values. The shapes are those of the Transformer in
// steps.cpp, of a 512-wide one, and of a long row.
#include "layers/attention.h"
#include "rows.h"

namespace {

using namespace ebb;

struct AttentionShape {
  const char* name;
  std::int64_t rows, length, heads, width;
};

constexpr AttentionShape kShapes[]{
    {"6x64/8x256", 8, 256, 6, 384},
    {"8x64/4x128", 4, 128, 8, 512},
    {"6x64/1x1024", 1, 1024, 6, 384},
};

const bool registered = [] {
  for (const AttentionShape& s : kShapes) {
    for (const bool integer : {true, false}) {
      for (const bool causal : {true, false}) {
        const Attention attention = Attention::create("attention", s.heads, causal);
        const std::vector<std::int64_t> lengths = equal_lengths(s.rows * s.length, s.rows);
        const auto tokens = static_cast<double>(s.rows * s.length);
        const double ops =
            4.0 * tokens *
            static_cast<double>(s.length * s.width);  // of all pairs of tokens, seen or not
        const double bytes = 16.0 * tokens * static_cast<double>(s.width);
        const auto work = [&](double factor) {
          return integer ? bench::Work{.int8_ops = factor * ops, .bytes = factor * bytes}
                         : bench::Work{.float_ops = factor * ops, .bytes = factor * bytes};
        };
        const Format format = integer ? Format::integer(8) : Format::fp32();
        bench::add_op_rows(
            concat(to_text(format), '/', causal ? "causal" : "all", '/', s.name),
            {.input = {s.rows * s.length, 3 * s.width},
             .op = [=](Pass& pass, Var qkv) { return attention(pass, qkv, lengths); },
             .plan = PrecisionPlan::uniform(format, format)},
            work(1), work(2), {});
      }
    }
  }
  return true;
}();

}  // namespace
