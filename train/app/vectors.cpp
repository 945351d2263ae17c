#include "train/app/vectors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "core/text.h"
#include "data/npy.h"
#include "quant/aggregate.h"
#include "quant/gemm.h"
#include "train/config.h"
#include "train/files.h"

namespace ebb::cli {
namespace {

constexpr std::int64_t kMostElements = std::int64_t{1} << 26;  // of an array, some 300 MB as text

std::string name_of(const Multiply& how) { return concat(how.site.name, ' ', how.product); }

/// A product of a site by itself, its patch matrix on the left where there is one.
struct Single {
  Operand left, right;
  bool transposed = false;
};

/// A strip is a product of its own.
std::int64_t parts_of(const BatchedProduct& product) {
  return std::max<std::int64_t>(1, std::ssize(product.strips));
}

std::int64_t count_of(const SeenProducts& seen) {
  if (seen.depthwise != nullptr) return seen.depthwise->channels;
  std::int64_t count = 0;
  for (const BatchedProduct& product : seen.products) count += parts_of(product);
  return count;
}

Single single(const SeenProducts& seen, std::int64_t number) {
  if (seen.depthwise != nullptr) {
    const BatchedProduct& all = seen.products.front();
    PatchGeometry one = *seen.depthwise;
    one.channels = 1;
    const Operand patches = all.a.columns(number, 1).patches(one),
                  column = all.b.columns(number, 1);
    const bool weights = seen.how.product == Product::grad_right;
    return {weights ? patches.transposed() : patches, column, weights};
  }
  auto product = seen.products.begin();
  while (number >= parts_of(*product)) number -= parts_of(*product++);
  if (!product->strips.empty()) {
    const Strip& s = product->strips[static_cast<std::size_t>(number)];
    return {product->a.rows(s.first, s.rows).columns(s.k_first, s.k()),
            product->b.rows(s.k_first, s.k()).columns(0, s.cols)};
  }
  if (!product->b.codes().patches) return {product->a, product->b};
  return {product->b.transposed(), product->a.transposed(), true};
}

void require_size(const Multiply& how, std::int64_t m, std::int64_t k, std::int64_t n) {
  const std::int64_t largest = std::max({m * k, k * n, m * n});
  require<ConfigError>(largest <= kMostElements, "[dump] ", name_of(how), " multiplies ", m, " x ",
                       k, " by ", k, " x ", n, ", of which an array would have ", largest,
                       " elements, more than ", kMostElements,
                       "; take a run with a smaller --batch");
}

/// The codes of an operand; padded(i, j) is called for padded taps.
template <class Padded>
ProductVectors::Side side_of(const Operand& x, const Padded& padded) {
  ProductVectors::Side side{.format = x.format(), .grid = x.encoding().grid};
  for (std::int64_t i = 0; i < x.rows(); ++i) {
    for (std::int64_t j = 0; j < x.cols(); ++j) {
      const std::int64_t at = x.codes().offset(i, j);
      if (at < 0) padded(i, j);
      side.codes.push_back(static_cast<std::int16_t>(x.codes().code_at(at)));
    }
  }
  const std::int64_t grids = x.granularity() == Granularity::per_row      ? x.rows()
                             : x.granularity() == Granularity::per_column ? x.cols()
                                                                          : 1;
  for (std::int64_t i = 0; i < grids; ++i) {
    side.scales.push_back(x.grid(i).scale);
    side.zeros.push_back(x.grid(i).stored_zero());
  }
  return side;
}

double of(const std::vector<double>& values, std::int64_t i) {
  return values[values.size() == 1 ? 0 : static_cast<std::size_t>(i)];
}
double of(const std::vector<float>& values, std::int64_t i) {
  return double{values[values.size() == 1 ? 0 : static_cast<std::size_t>(i)]};
}

/// Adds a product to an accumulator of S, which holds it in the end.
struct Register {
  Accumulator accumulator;
  std::uint64_t events = 0;

  void add(std::int64_t& sum, std::int64_t product) {
    if (accumulator.kind != Accumulator::Kind::saturate) {
      sum += product;
      return;
    }
    const std::int64_t high = (std::int64_t{1} << (accumulator.bits - 1)) - 1;
    const auto hold = [&](std::int64_t value) {
      const std::int64_t held = std::clamp(value, -high - 1, high);
      events += held != value ? 1 : 0;
      return held;
    };
    sum = hold(sum + hold(product));
  }
  void finish(std::int64_t& sum) {
    if (accumulator.kind != Accumulator::Kind::wrap) return;
    const std::int64_t turn = std::int64_t{1} << accumulator.bits, half = turn / 2;
    const std::int64_t low = ((sum % turn) + turn) % turn;
    const std::int64_t kept = low >= half ? low - turn : low;
    events += static_cast<std::uint64_t>(std::abs(sum - kept) / turn);
    sum = kept;
  }
};

/// Fills in accumulators and outputs, by docs/NUMERICS.md and by no kernel.
void multiply(ProductVectors& v) {
  Register accumulator{v.accumulator};
  std::vector<std::int64_t> sums(static_cast<std::size_t>(v.n)), columns(sums.size());
  for (std::int64_t i = 0; i < v.m; ++i) {
    std::ranges::fill(sums, 0);
    std::ranges::fill(columns, 0);
    std::int64_t row = 0, count = 0;
    for (std::int64_t k = 0; k < v.k; ++k) {
      const auto at = static_cast<std::size_t>(i * v.k + k);
      if (!v.valid.empty() && v.valid[at] == 0) continue;
      const std::int64_t a = v.left.codes[at];
      for (std::int64_t j = 0; j < v.n; ++j) {
        const std::int64_t b = v.right.codes[static_cast<std::size_t>(k * v.n + j)];
        accumulator.add(sums[static_cast<std::size_t>(j)], a * b);
        columns[static_cast<std::size_t>(j)] += b;
      }
      row += a;
      ++count;
    }
    const double sa = of(v.left.scales, i), za = of(v.left.zeros, i);
    for (std::int64_t j = 0; j < v.n; ++j) {
      std::int64_t& sum = sums[static_cast<std::size_t>(j)];
      accumulator.finish(sum);
      const double sb = of(v.right.scales, j), zb = of(v.right.zeros, j);
      const double products =
          (sa * sb) * static_cast<double>(sum) + (sa * zb) * static_cast<double>(row);
      const double offsets = (za * sb) * static_cast<double>(columns[static_cast<std::size_t>(j)]) +
                             (za * zb) * static_cast<double>(count);
      const double value = products + offsets;
      v.accumulators.push_back(sum);
      v.outputs.push_back(static_cast<float>(v.factors.empty() ? value : of(v.factors, i) * value));
    }
  }
  v.overflow_events = accumulator.events;
}

/// The kernel of training made `out`: vectors that say anything else are worth nothing.
void require_same(const ProductVectors& v, const Multiply& how, const Tensor& out) {
  const auto bytes = v.outputs.size() * sizeof(float);
  require<Error>(out.size() == std::ssize(v.outputs) &&
                     (bytes == 0 || std::memcmp(out.data(), v.outputs.data(), bytes) == 0),
                 "[dump] ", name_of(how), ": the kernel of this machine differs from ",
                 "docs/NUMERICS.md; please report it");
}

Multiply quietly(const Multiply& how) {
  return {
      .site = how.site, .product = how.product, .accumulator = how.accumulator, .simd = how.simd};
}

// An element as the digits of its bits.
template <class T>
std::string digits(T value, int bits) {
  using Word = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  Word word = 0;
  if constexpr (std::is_floating_point_v<T>) {
    word = std::bit_cast<Word>(value);
  } else {
    word = static_cast<Word>(value);
  }
  std::string text;
  for (int digit = (bits + 3) / 4; digit-- > 0;) {
    const int used = std::min(4, bits - 4 * digit);
    text += "0123456789abcdef"[word >> (4 * digit) & ((1u << used) - 1u)];
  }
  return text;
}

template <class T>
constexpr std::string_view dtype() {
  if constexpr (std::is_same_v<T, std::int16_t>) return "<i2";
  if constexpr (std::is_same_v<T, std::uint8_t>) return "|u1";
  if constexpr (std::is_same_v<T, std::int64_t>) return "<i8";
  if constexpr (std::is_same_v<T, float>) return "<f4";
  if constexpr (std::is_same_v<T, double>) return "<f8";
}

/// A folder of arrays.
class Writer {
 public:
  explicit Writer(std::string folder) : folder_(std::move(folder)) {}

  /// [values.size() / cols, cols], or a vector where cols is 0; `bits` of an element in hex.
  template <class T>
  void array(const std::string& name, const std::vector<T>& values, std::int64_t cols,
             int bits) const {
    static_assert(std::endian::native == std::endian::little);
    const std::int64_t count = std::ssize(values), wide = std::max<std::int64_t>(1, cols);
    const std::string shape =
        cols == 0 ? concat('(', count, ",)") : concat('(', count / wide, ", ", cols, ')');
    const std::vector<std::int64_t> extents =
        cols == 0 ? std::vector{count} : std::vector{count / wide, cols};
    std::string npy = npy_header(dtype<T>(), extents);
    npy.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    train::write_file(path(name + ".npy"), npy);

    std::string hex = concat("// ", name, ' ', shape, ", ", bits, " bits, row by row\n");
    for (std::int64_t i = 0; i < count; ++i) {
      hex += digits(values[static_cast<std::size_t>(i)], bits);
      hex += (i + 1) % wide == 0 ? '\n' : ' ';
    }
    train::write_file(path(name + ".hex"), hex);
  }
  void text(const std::string& name, const std::string& content) const {
    train::write_file(path(name), content);
  }

 private:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

constexpr const char* kFormula =
    "With a, b the stored codes and sums over the valid k: S = sum a b (accumulators), A = sum a, "
    "B = sum b, V = number of valid k; outputs = float32(f * (((sa*sb)*S + (sa*zb)*A) + ((za*sb)*B "
    "+ (za*zb)*V))), every operation in float64 in the order of the parentheses; sa, za are "
    "left_scales and left_zeros, sb, zb right_scales and right_zeros; f is factors, or 1 and left "
    "out";

std::string manifest_of(const ProductVectors& v, const std::string& program, std::int64_t step) {
  const auto grids = [](const ProductVectors::Side& side, const char* each) {
    return side.scales.size() == 1 ? "matrix" : each;
  };
  const KeyValues entries{{"format", "1"},
                          {"program", program},
                          {"step", to_text(step)},
                          {"site", v.site},
                          {"product", to_text(v.product)},
                          {"index", to_text(v.index)},
                          {"m", to_text(v.m)},
                          {"k", to_text(v.k)},
                          {"n", to_text(v.n)},
                          {"left_format", to_text(v.left.format)},
                          {"left_grid", to_text(v.left.grid)},
                          {"left_grids", grids(v.left, "row")},
                          {"right_format", to_text(v.right.format)},
                          {"right_grid", to_text(v.right.grid)},
                          {"right_grids", grids(v.right, "column")},
                          {"padded", to_text(!v.valid.empty())},
                          {"factors", to_text(!v.factors.empty())},
                          {"accumulator", to_text(v.accumulator)},
                          {"overflow_events", to_text(v.overflow_events)},
                          {"transposed", to_text(v.transposed)},
                          {"formula", kFormula}};
  std::string text = "{\n";
  for (const auto& entry : entries) {
    const std::string object = train::texts_json({entry});  // {"name":value}
    text += concat("  ", object.substr(1, object.size() - 2),
                   &entry == &entries.back() ? "\n}\n" : ",\n");
  }
  return text;
}

}  // namespace

VectorRequest vector_request(const train::Options& options) {
  for (const char* name : {"step", "site", "out"})
    require<ConfigError>(options.has(name), "[command line] --dump needs --", name, ' ',
                         options.at(name).value, "; add it");
  VectorRequest request{.step = options.integer("step"),
                        .site = options.text("site"),
                        .index = options.integer("index"),
                        .out = options.text("out")};
  if (options.has("product")) request.product = parse_product(options.text("product"));
  return request;
}

void require_possible(const VectorRequest& request, std::int64_t iterations,
                      std::span<const Site> sites) {
  require<ConfigError>(request.step < iterations,
                       "[command line] --step: the run has the steps 0 .. ", iterations - 1,
                       ", got ", request.step);
  std::vector<std::string> known;
  for (const Site& site : sites) known.push_back(site.name);
  require<ConfigError>(
      std::ranges::any_of(sites, [&](const Site& site) { return site.matches(request.site); }),
      "[command line] --site: ", unknown_word("layer", request.site, known));
}

Observer VectorCollector::observer() {
  Observer observer;
  observer.products = [this](const SeenProducts& seen) { add(seen); };
  observer.sum = [this](const SeenSum& seen) { add(seen); };
  return observer;
}

std::optional<std::int64_t> VectorCollector::wanted(const Multiply& how, std::int64_t count) {
  if (!how.site.matches(request_.site)) return std::nullopt;
  std::int64_t& before = seen_[name_of(how)];
  const std::int64_t number = request_.index - before;
  before += count;
  const bool kind = !request_.product || *request_.product == how.product;
  return kind && number >= 0 && number < count ? std::optional(number) : std::nullopt;
}

void VectorCollector::add(const SeenProducts& seen) {
  const Multiply& how = seen.how;
  const std::optional<std::int64_t> number = wanted(how, count_of(seen));
  if (!number) return;
  const auto [left, right, transposed] = single(seen, *number);
  require<ConfigError>(
      left.arithmetic() == Arithmetic::linear && right.arithmetic() == Arithmetic::linear,
      "[dump] ", name_of(how), " multiplies ", left.format(), " by ", right.format(), " as ",
      left.arithmetic(), " and ", right.arithmetic(),
      ", and vectors are those of integer codes; take a run, a --step or a --site "
      "with integer formats");
  require<ConfigError>(
      how.multiplier == nullptr, "[dump] ", name_of(how),
      " is multiplied by the table of --multiplier, and vectors are those of exact "
      "products; take a run without one");
  require_size(how, left.rows(), left.cols(), right.cols());
  ProductVectors v{.site = how.site.name,
                   .product = how.product,
                   .index = request_.index,
                   .m = left.rows(),
                   .k = left.cols(),
                   .n = right.cols(),
                   .left = {},
                   .right = {},
                   .valid = {},
                   .factors = {},
                   .accumulator = how.accumulator,
                   .accumulators = {},
                   .outputs = {},
                   .transposed = transposed};
  std::vector<std::uint8_t> valid(static_cast<std::size_t>(v.m * v.k), 1);
  bool padded = false;
  v.left = side_of(left, [&](std::int64_t i, std::int64_t j) {
    valid[static_cast<std::size_t>(i * v.k + j)] = 0;
    padded = true;
  });
  if (padded) v.valid = std::move(valid);
  v.right = side_of(right, [](std::int64_t, std::int64_t) {});
  multiply(v);
  CostLedger ledger;
  require_same(v, how, gemm(left, right, quietly(how), ledger));
  vectors_.push_back(std::move(v));
}

void VectorCollector::add(const SeenSum& seen) {
  const Multiply& how = seen.how;
  if (!wanted(how, 1)) return;
  const Operand& x = seen.x;
  require<ConfigError>(x.arithmetic() == Arithmetic::linear, "[dump] ", name_of(how), " adds ",
                       x.format(), " as ", x.arithmetic(),
                       ", and vectors are those of integer codes; take a run, a --step or a --site "
                       "with integer formats");
  require<ConfigError>(how.accumulator.kind != Accumulator::Kind::saturate, "[dump] ", name_of(how),
                       " adds neighbours into ", how.accumulator,
                       " in the order of the graph, which a matrix does not show; take another "
                       "--site, or a run with exact or wrapping accumulators");
  const Csr& adjacency = seen.adjacency;
  require_size(how, adjacency.rows(), adjacency.cols, x.cols());
  ProductVectors v{
      .site = how.site.name,
      .product = how.product,
      .index = request_.index,
      .m = adjacency.rows(),
      .k = adjacency.cols,
      .n = x.cols(),
      .left = {.format = kAdjacency, .grid = {}, .codes = {}, .scales = {1}, .zeros = {0}},
      .right = side_of(x, [](std::int64_t, std::int64_t) {}),
      .valid = {},
      .factors = {seen.factors.begin(), seen.factors.end()},
      .accumulator = how.accumulator,
      .accumulators = {},
      .outputs = {}};
  v.left.codes.resize(static_cast<std::size_t>(v.m * v.k));
  for (std::int64_t i = 0; i < v.m; ++i) {
    for (const std::int32_t k : adjacency.row(i))
      ++v.left.codes[static_cast<std::size_t>(i * v.k + k)];
  }
  multiply(v);
  CostLedger ledger;
  require_same(v, how, aggregate(adjacency, seen.factors, x, quietly(how), ledger));
  vectors_.push_back(std::move(v));
}

const std::vector<ProductVectors>& VectorCollector::vectors() const {
  std::string there;
  for (const auto& [name, count] : seen_)
    there += concat(there.empty() ? "" : ", ", count, " of ", name);
  require<ConfigError>(!vectors_.empty(), "[dump] there is no ",
                       request_.product ? to_text(*request_.product) : std::string("product"),
                       " number ", request_.index, " of ", request_.site,
                       " in this step, which has ", there.empty() ? "none" : there,
                       "; numbers begin at 0");
  return vectors_;
}

std::string dump(train::Task task, train::RunState& state, train::LoopSettings settings,
                 const VectorRequest& request, const std::string& program) {
  const bool moves =
      !state.controllers.empty() || std::ranges::any_of(state.knobs, [](const train::Knob& knob) {
        return !knob.controllers.empty();
      });
  if (!moves) task.splits.clear();  // then no evaluation moves anything
  settings.leave_before = request.step;
  train::run_loop(task, state, settings, {});
  VectorCollector collector(request);
  train::observe_step(task, state, settings, collector.observer());
  const std::vector<ProductVectors>& vectors = collector.vectors();
  std::vector<std::string> folders;
  for (const ProductVectors& v : vectors) {
    folders.push_back(concat(request.out, '/', v.site, '.', v.product, '.', v.index));
    require<DataError>(!std::filesystem::exists(folders.back()), "[dump] ", folders.back(),
                       " exists already, and nothing is overwritten; choose another --out");
  }
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    const ProductVectors& v = vectors[i];
    std::error_code error;
    std::filesystem::create_directories(folders[i], error);
    require<DataError>(!error, "[dump] cannot make ", folders[i], ": ", error.message());
    const Writer writer(folders[i]);
    for (const auto& [name, side, cols] :
         {std::tuple("left", &v.left, v.k), {"right", &v.right, v.n}}) {
      writer.array(name, side->codes, cols, cost_bits(side->format));
      writer.array(concat(name, "_scales"), side->scales, 0, 32);
      writer.array(concat(name, "_zeros"), side->zeros, 0, 64);
    }
    if (!v.valid.empty()) writer.array("left_valid", v.valid, v.k, 1);
    if (!v.factors.empty()) writer.array("factors", v.factors, 0, 32);
    writer.array("accumulators", v.accumulators, v.n, 64);
    writer.array("outputs", v.outputs, v.n, 32);
    writer.text("manifest.json", manifest_of(v, program, request.step));  // last: then all is there
  }
  return join_words(folders, "\n") + "\n";
}

}  // namespace ebb::cli
