// Products of encoded operands, packing and compensation of zero points included.
#include <cstddef>
#include <memory>
#include <vector>

#include "quant/multiplier.h"
#include "rows.h"

namespace {

using namespace ebb;
using bench::ProductShape;

Format blocks_of(Format element, Scaling::Kind kind, std::uint16_t block) {
  element.scaling = {.kind = kind, .block = block};
  return element;
}

void add(const ProductShape& shape, Format format, const std::string& format_name,
         const std::shared_ptr<const Multiplier>& multiplier = nullptr,
         const Accumulator& accumulator = {}) {
  const std::string name = concat(format_name, '/', shape.of, '/', to_text(shape.role), '/',
                                  shape.m, 'x', shape.n, 'x', shape.k);
  bench::add_row(name, [=](benchmark::State& state) {
    bench::RandomProduct product(shape, format, accumulator, multiplier);
    const double elements = static_cast<double>(shape.m * shape.k + shape.k * shape.n);
    bench::Work work{.bytes = elements * (format.is_fp32()   ? 4.0
                                          : format.width > 8 ? 2.0
                                                             : 1.0) +
                              4.0 * static_cast<double>(shape.m * shape.n)};
    (format.is_fp32() ? work.float_ops : work.int8_ops) = shape.operations();
    bench::time_row(state, work, [&] {
      return bench::seconds_of([&] { benchmark::DoNotOptimize(product().data()); });
    });
  });
}

void add(const ProductShape& shape, Format format) { add(shape, format, to_text(format)); }

/// Any table: how fast it is looked up depends on no entry.
std::shared_ptr<const Multiplier> any_table() {
  const std::vector<std::byte> bytes(Multiplier::kFileBytes);
  return std::make_shared<const Multiplier>(Multiplier::parse(bytes, false, "bench"));
}

const bool registered = [] {
  for (const Format format : {Format::integer(8), Format::fp32()}) {
    for (const ProductShape& shape : bench::kComparedProducts) add(shape, format);
    for (const ProductShape& shape : bench::kLayerProducts) {
      for (const Product role : {Product::forward, Product::grad_left, Product::grad_right})
        add(bench::in_role(shape, role), format);
    }
  }
  for (const int bits : {1, 2, 4, 12, 16}) add(bench::kComparedProducts[1], Format::integer(bits));
  add(bench::kComparedProducts[1], Format::integer(8), "int8-table", any_table());
  const Format e2m1 = Format::floating(2, 1);
  const struct {
    const char* name;
    Format format;
  } blocks[] = {{"mxfp4", blocks_of(e2m1, Scaling::Kind::e8m0, 32)},
                {"mxfp6", blocks_of(Format::floating(3, 2), Scaling::Kind::e8m0, 32)},
                {"mxfp8", blocks_of(Format::floating(4, 3), Scaling::Kind::e8m0, 32)},
                {"mxfp8(e5m2)", blocks_of(Format::floating(5, 2), Scaling::Kind::e8m0, 32)},
                {"nvfp4", blocks_of(e2m1, Scaling::Kind::ue4m3, 16)},
                {"int8(block=128)", blocks_of(Format::integer(8), Scaling::Kind::absmax, 128)}};
  for (const auto& each : blocks) add(bench::kComparedProducts[1], each.format, each.name);
  for (const char* name : {"e2m1", "e2m3", "e3m2", "e4m3", "e5m2", "fp16", "posit8", "posit16"})
    add(bench::kComparedProducts[1], Format::parse(name), concat("exact/", name), nullptr,
        Accumulator::exact());
  for (const char* name : {"bf16", "e4m3"})
    add(bench::kComparedProducts[1], Format::parse(name), concat("fp32/", name), nullptr,
        Accumulator::fp32());
  add(bench::kComparedProducts[1], Format::parse("e4m3"), "hopper/e4m3", nullptr,
      Accumulator::parse("hopper"));
  return true;
}();

}  // namespace
