#include "tools/gemm_command.h"

#include <algorithm>
#include <cmath>
#include <ostream>
#include <span>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "core/simd.h"
#include "data/npy.h"
#include "layers/quality.h"
#include "quant/gemm.h"
#include "tools/numbers.h"
#include "train/app/tables.h"
#include "train/files.h"

namespace ebb::tools {
namespace {

/// What a command line comes to.
struct Plan {
  Encoding a, b;
  Accumulator asked, used;
  bool by_channel;
};

Format format_of(const GemmOptions& options, const std::string& own, const char* option) {
  const std::string& text = own.empty() ? options.format : own;
  require<ConfigError>(!text.empty(), "[gemm] ", option, " is missing: give it, or --format for ",
                       "both matrices");
  Format format = Format::parse(text);
  require_operand(format);
  const bool takes_scale = has_codec(format) && !has_blocks(format) && !format.is_fp32();
  if (!options.scale.empty() && takes_scale)
    format.scaling = {.kind = parse_scale("gemm", options.scale)};
  return format;
}

Plan plan_of(const GemmOptions& options) {
  const RoundingMode rounding = parse_rounding_mode(options.rounding);
  const auto encoding = [&](const std::string& own, const char* option) {
    return Encoding{.format = format_of(options, own, option),
                    .grid = parse_grid_style(options.grid.empty() ? "affine" : options.grid),
                    .rounding = rounding.rounding,
                    .random_bits = rounding.random_bits};
  };
  Plan plan{.a = encoding(options.format_a, "--format-a"),
            .b = encoding(options.format_b, "--format-b"),
            .asked = Accumulator::parse(options.accumulator),
            .used = Accumulator::fp32(),
            .by_channel = options.per == "channel"};
  const Format a = plan.a.format, b = plan.b.format;
  require<ConfigError>(options.seed >= 0, "[gemm] expected --seed >= 0, got ", options.seed);
  require<ConfigError>(
      plan.by_channel || options.per == "tensor", "[gemm] ",
      unknown_word("--per", options.per, std::vector<std::string>{"tensor", "channel"}));
  const auto any = [&](auto is) { return is(a) || is(b); };
  const auto refuse = [](const std::string& option, bool without, const char* why) {
    require<ConfigError>(!without, "[gemm] ", option, " has no effect ", why, "; leave it out");
  };
  refuse(concat("--scale ", options.scale), !options.scale.empty() && !any([](Format f) {
           return has_codec(f) && !has_blocks(f) && !f.is_fp32();
         }),
         "where both formats are fp32, on a grid, or blocks with scales of their own");
  refuse(concat("--grid ", options.grid),
         !options.grid.empty() && !any([](Format f) { return !has_codec(f); }),
         "where neither format is of integers");
  refuse("--per channel", plan.by_channel && !any([](Format f) {
                            return !has_codec(f) ||
                                   (f.scaling.kind != Scaling::Kind::none && !has_blocks(f));
                          }),
         "where neither format has a scale or grid that is shared so");
  require<ConfigError>(rounding.random_bits == 0 || !any(has_blocks),
                       "[gemm] elements of blocks draw 32 bits: take --rounding stochastic");
  if (!a.is_fp32() && !b.is_fp32()) {
    plan.used = resolve(plan.asked, a, b);
  } else {
    require<ConfigError>(plan.asked == Accumulator{} || plan.asked == Accumulator::fp32(),
                         "[gemm] a product with a float32 matrix is summed in fp32, not in ",
                         plan.asked, "; leave --accumulator out");
  }
  return plan;
}

Tensor read_matrix(const std::string& path) {
  Tensor x = read_npy(path);
  require<DataError>(x.shape().rank() == 2 && x.size() > 0, "[gemm] ", path,
                     ": expected a matrix [rows, columns] of numbers, got ", x.shape());
  for (std::int64_t i = 0; i < x.size(); ++i)
    require<DataError>(std::isfinite(x[i]), "[gemm] element (", i / x.shape()[1], ", ",
                       i % x.shape()[1], ") of ", path, " is ", x[i], "; expected finite numbers");
  return x;
}

/// One after the other, in double.
template <class Of>
std::vector<double> values_of(std::int64_t rows, std::int64_t cols, const Of& of) {
  const auto count = static_cast<std::size_t>(rows * cols);
  std::vector<double> values = allocate(
      uint128{count} * sizeof(double), [&] { return std::vector<double>(count); },
      "the numbers of a matrix in float64");
  parallel_rows(rows, cols, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      for (std::int64_t j = 0; j < cols; ++j)
        values[static_cast<std::size_t>(i * cols + j)] = of(i, j);
    }
  });
  return values;
}
std::vector<double> values_of(const Operand& x) {
  return values_of(x.rows(), x.cols(),
                   [&](std::int64_t i, std::int64_t j) { return x.value(i, j); });
}
std::vector<double> values_of(const Tensor& x) { return {x.values().begin(), x.values().end()}; }

/// The halves of a number, whose products with those of another are exact (Veltkamp).
struct Halves {
  double high, low;
  explicit Halves(double x) : high(0x1p27 * x + x), low(0) {
    high -= high - x;
    low = x - high;
  }
};

/// A row of a product: sums over k in twice float64's precision, as if each was made exactly and
/// rounded twice (Ogita, Rump and Oishi, "Accurate Sum and Dot Product", Dot2). Infinities and NaNs
/// go through plain sums.
void multiply_row(std::span<const double> a, std::span<const double> b, std::span<double> sum,
                  std::span<double> rest) {
  const std::size_t n = sum.size();
  std::ranges::fill(sum, 0.0);
  std::ranges::fill(rest, 0.0);
  for (std::size_t k = 0; k < a.size(); ++k) {
    const Halves left(a[k]);
    const double* const row = b.data() + k * n;
    for (std::size_t j = 0; j < n; ++j) {
      const Halves right(row[j]);
      const double product = a[k] * row[j], total = sum[j] + product, taken = total - sum[j];
      const double lost =
          left.low * right.low -
          (((product - left.high * right.high) - left.low * right.high) - left.high * right.low);
      rest[j] += ((sum[j] - (total - taken)) + (product - taken)) + lost;
      sum[j] = total;
    }
  }
  for (std::size_t j = 0; j < n; ++j) {
    if (std::isfinite(sum[j] + rest[j])) {
      sum[j] += rest[j];
      continue;
    }
    sum[j] = 0.0;
    for (std::size_t k = 0; k < a.size(); ++k) sum[j] += a[k] * b[k * n + j];
  }
}

std::vector<double> multiply(const std::vector<double>& a, const std::vector<double>& b,
                             std::int64_t m, std::int64_t n) {
  const std::size_t k = a.size() / static_cast<std::size_t>(m), cols = static_cast<std::size_t>(n);
  std::vector<double> c(static_cast<std::size_t>(m) * cols);
  parallel_rows(m, static_cast<std::int64_t>(b.size()), [&](std::int64_t first, std::int64_t last) {
    std::vector<double> rest(cols);
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i)
      multiply_row(std::span(a).subspan(i * k, k), b, std::span(c).subspan(i * cols, cols), rest);
  });
  return c;
}

/// How far a product is from another, where both are finite.
struct Distance {
  double largest = 0, mean = 0, sqnr_db = 0;
  std::int64_t not_finite = 0;

  Distance(std::span<const float> c, std::span<const double> exact) {
    double signal = 0, noise = 0, sum = 0;
    for (std::size_t i = 0; i < c.size(); ++i) {
      const double error = static_cast<double>(c[i]) - exact[i];
      if (!std::isfinite(error)) {
        ++not_finite;
        continue;
      }
      largest = std::max(largest, std::abs(error));
      sum += std::abs(error);
      signal += exact[i] * exact[i];
      noise += error * error;
    }
    mean = sum / static_cast<double>(std::max<std::int64_t>(1, std::ssize(c) - not_finite));
    sqnr_db = 10 * std::log10(signal / noise);
  }
};

/// What is said of an operand.
struct Side {
  std::string name, format;
  bool encoded;
  OperandQuality quality;

  Side(std::string its_name, const Tensor& x, const Operand& operand)
      : name(std::move(its_name)),
        format(to_text(operand.format())),
        encoded(!operand.format().is_fp32()) {
    if (encoded) quality = measure_quality(x.matrix(), operand, name, Role::activation);
  }
};

std::string decibels(double sqnr) {
  return std::isnan(sqnr) ? "-" : concat(train::format_fixed(sqnr, 2), " dB");
}

struct Report {
  std::int64_t m, k, n;
  std::string rounding, accumulator, kernel;
  Side a, b;
  Distance sums, whole;
  uint128 events;
};

std::string to_table(const Report& r) {
  std::vector<std::vector<std::string>> facts{
      {"product", concat(r.m, " x ", r.k, " times ", r.k, " x ", r.n)}};
  for (const Side& side : {r.a, r.b}) {
    const OperandQuality& q = side.quality;
    facts.push_back({side.name, side.encoded
                                    ? concat(side.format, ", SQNR ", decibels(q.sqnr_db), ", ",
                                             train::format_share(q.at_ends), " at the ends, ",
                                             train::format_share(q.underflow), " become zero")
                                    : side.format});
  }
  facts.push_back({"accumulator", r.accumulator});
  facts.push_back({"kernel", r.kernel});
  const auto add = [&](const char* name, const Distance& d) {
    facts.push_back({name, concat("largest ", train::format_short(d.largest), ", mean ",
                                  train::format_short(d.mean), ", SQNR ", decibels(d.sqnr_db))});
  };
  add("error of the sums", r.sums);
  add("error of all", r.whole);
  facts.push_back({"not finite", to_text(r.whole.not_finite)});
  facts.push_back({"overflow events", to_text(r.events)});
  return train::format_facts(std::move(facts));
}

std::string to_json(const Report& r) {
  std::string json =
      concat("{\"m\":", r.m, ",\"k\":", r.k, ",\"n\":", r.n, ",\"rounding\":\"", r.rounding,
             "\",\"accumulator\":\"", r.accumulator, "\",\"kernel\":\"", r.kernel, "\"");
  for (const Side& side : {r.a, r.b}) {
    json += concat(",\"", side.name, "\":{\"format\":\"", side.format, "\"");
    if (side.encoded)
      json += concat(",\"sqnr_db\":", json_number(side.quality.sqnr_db),
                     ",\"at_ends\":", json_number(side.quality.at_ends),
                     ",\"underflow\":", json_number(side.quality.underflow));
    json += "}";
  }
  const auto add = [&](const char* name, const Distance& d) {
    json += concat(",\"", name, "\":{\"largest_error\":", json_number(d.largest),
                   ",\"mean_error\":", json_number(d.mean), ",\"sqnr_db\":", json_number(d.sqnr_db),
                   "}");
  };
  add("sums", r.sums);
  add("whole", r.whole);
  return json + concat(",\"not_finite\":", r.whole.not_finite, ",\"overflow_events\":\"", r.events,
                       "\"}\n");
}

}  // namespace

void multiply_files(const GemmOptions& options, std::ostream& out) {
  const Plan plan = plan_of(options);
  const Tensor a = read_matrix(options.a), b = read_matrix(options.b);
  const std::int64_t m = a.shape()[0], k = a.shape()[1], n = b.shape()[1];
  require<DataError>(b.shape()[0] == k, "[gemm] ", options.a, " is ", m, " x ", k, " and ",
                     options.b, " is ", b.shape()[0], " x ", n,
                     ": the columns of the first must be as many as the rows of the second");
  const auto operand = [&](const Tensor& x, const Encoding& encoding, Granularity free,
                           std::uint64_t seed) {
    const bool lines = plan.by_channel || has_blocks(encoding.format);
    return Operand(x.matrix(), encoding, lines ? free : Granularity::per_tensor, Key(seed));
  };
  const auto seed = static_cast<std::uint64_t>(options.seed);
  const Operand left = operand(a, plan.a, Granularity::per_row, seed),
                right = operand(b, plan.b, Granularity::per_column, seed + 1);
  const Site site{"gemm"};
  const Multiply how{.site = site, .accumulator = plan.asked, .simd = best_simd()};
  CostLedger ledger;
  const Tensor c = gemm(left, right, how, ledger);
  const std::vector<double> exact = multiply(values_of(left), values_of(right), m, n);
  const std::vector<std::int64_t> extents{m, n};
  train::write_file(options.out, to_npy(c.values(), extents));
  if (!options.exact.empty()) train::write_file(options.exact, to_npy(exact, extents));
  const Report report{.m = m,
                      .k = k,
                      .n = n,
                      .rounding = to_text(parse_rounding_mode(options.rounding)),
                      .accumulator = to_text(plan.used),
                      .kernel = std::string(choose_kernel(left, right, how)),
                      .a = Side("a", a, left),
                      .b = Side("b", b, right),
                      .sums = Distance(c.values(), exact),
                      .whole = Distance(c.values(), multiply(values_of(a), values_of(b), m, n)),
                      .events = ledger.overflow_events()};
  out << (options.json ? to_json(report) : to_table(report)) << std::flush;
  require<DataError>(static_cast<bool>(out), "[gemm] standard output cannot be written");
}

}  // namespace ebb::tools
