#include "tools/quantize_command.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <ostream>
#include <utility>
#include <vector>

#include "core/error.h"
#include "quant/formats/block.h"
#include "quant/formats/codec.h"
#include "quant/formats/grid.h"
#include "quant/formats/names.h"
#include "tools/numbers.h"

namespace ebb::tools {
namespace {

constexpr const char* kFull =
    "[quantize] cannot write the table: is the disk full or the pipe closed?";

/// A number and what became of it.
struct Encoded {
  std::string code;
  float value = 0, scale = 1;
  bool saturated = false, overflow = false, subnormal = false;
};

/// What a command line comes to.
struct Plan {
  Format format;
  RoundingMode rounding;
  GridStyle grid;
  bool by_row, by_column;
  Key key;

  [[nodiscard]] bool on_grid() const { return !has_codec(format); }
  [[nodiscard]] bool in_blocks() const { return format.scaling.block > 0; }
  [[nodiscard]] bool scaled() const { return format.scaling.kind != Scaling::Kind::none; }
};

Scaling::Kind scale_of(const QuantizeOptions& options, Format format) {
  const Scaling own = format.scaling;
  if (!has_codec(format)) {
    require<ConfigError>(options.scale.empty() || options.scale == "grid", "[quantize] --scale ",
                         options.scale, " is none of ", format,
                         ", whose numbers are on a grid; leave it out, or take --scale grid");
    return own.kind;
  }
  // That of training is not meant: numbers are shown as the format holds them.
  if (options.scale.empty())
    return own.kind == Scaling::Kind::absmax && own.block == 0 ? Scaling::Kind::none : own.kind;
  require<ConfigError>(own.block == 0, "[quantize] ", format,
                       " has scales of its own; leave --scale out");
  require<ConfigError>(options.scale != "grid", "[quantize] --scale grid is of integer formats; ",
                       format, " takes none, absmax or pow2");
  return parse_scale("quantize", options.scale);
}

Format format_of(const QuantizeOptions& options) {
  Format format = Format::parse(options.format);
  if (!options.overflow.empty()) set_option(format, "overflow", options.overflow);
  const Scaling::Kind kind = scale_of(options, format);
  if (kind != format.scaling.kind) format.scaling = {.kind = kind};
  require<ConfigError>(
      options.block_scale.empty() || kind == Scaling::Kind::pow2 || kind == Scaling::Kind::e8m0,
      "[quantize] --block-scale is the rule of scales that are powers of two, "
      "which ",
      format, " has not; take --scale pow2 or a format such as mxfp4");
  if (!options.block_scale.empty()) set_option(format, "rule", options.block_scale);
  return format;
}

Plan plan_of(const QuantizeOptions& options) {
  const Format format = format_of(options);
  Plan plan{.format = format,
            .rounding = parse_rounding_mode(options.rounding),
            .grid = parse_grid_style(options.grid),
            .by_row = options.per == "row",
            .by_column = options.per == "column",
            .key = Key(static_cast<std::uint64_t>(options.seed))};
  require<ConfigError>(
      !plan.on_grid() || plan.grid == GridStyle::affine || format != Format::integer(1),
      "[quantize] a symmetric grid needs at least 2 bits; use --grid affine for int1");
  require<ConfigError>(options.seed >= 0, "[quantize] expected --seed >= 0, got ", options.seed);
  require<ConfigError>(
      plan.by_row || plan.by_column || options.per == "tensor", "[quantize] ",
      unknown_word("--per", options.per, std::vector<std::string>{"tensor", "row", "column"}));
  require<ConfigError>(
      options.per == "tensor" || (!plan.in_blocks() && (plan.on_grid() || plan.scaled())),
      "[quantize] --per ", options.per,
      plan.in_blocks() ? " has no effect on blocks" : " needs a scale: take --scale absmax");
  require<ConfigError>(format.scaling.lines == 1, "[quantize] ", format,
                       " has blocks of several lines; numbers that follow each other are one: take "
                       "block=16 or another length");
  require<ConfigError>(!plan.in_blocks() || plan.rounding.random_bits == 0,
                       "[quantize] elements of blocks draw 32 bits: take --rounding stochastic");
  return plan;
}

Grid fit_grid(const Range& range, const Plan& plan) {
  if (!plan.on_grid()) return {.scale = fit_scale(plan.format, range)};
  try {
    return Grid::fit(range, plan.format.width, plan.grid);
  } catch (const NonFiniteError& error) {
    throw NonFiniteError(concat("[quantize] ", error.what(), "; --grid symmetric holds it"));
  }
}

/// The scales or grids of all numbers: one, or one per row or column.
std::vector<Grid> fit_grids(const Numbers& numbers, const Plan& plan) {
  const ConstMatrix all{numbers.values.data(), numbers.rows, numbers.cols, numbers.cols, 1};
  std::vector<Grid> grids;
  if (!plan.on_grid() && !plan.scaled()) return {Grid{}};
  const std::int64_t lines = plan.by_row ? all.rows : plan.by_column ? all.cols : 1;
  for (std::int64_t i = 0; i < lines; ++i) {
    ConstMatrix line = all;
    if (plan.by_row) line = {all.data + i * all.cols, 1, all.cols, all.cols, 1};
    if (plan.by_column) line = {all.data + i, all.rows, 1, all.cols, 1};
    grids.push_back(fit_grid(measure_range(line), plan));
  }
  return grids;
}

Encoded encode_on_grid(float x, std::uint64_t i, const Grid& grid, const Plan& plan) {
  const RoundingMode mode = plan.rounding;
  const int code =
      mode == RoundingMode{Rounding::nearest_even} ? encode(x, grid)
      : mode == RoundingMode{Rounding::stochastic}
          ? encode(x, grid, rounding_bits(plan.key, i))
          : encode(x, grid, mode.rounding,
                   {.word = rounding_word(plan.key, i),
                    .bits = mode.random_bits > 0 ? mode.random_bits : std::uint8_t{32}});
  return {.code = to_text(code),
          .value = decode(code, grid),
          .scale = grid.scale,
          .saturated = code == grid.high() || code == grid.low()};
}

Encoded encode_number(float x, std::uint64_t i, const Grid& grid, const Plan& plan) {
  if (plan.on_grid()) return encode_on_grid(x, i, grid, plan);
  const FormatTraits& traits = traits_of(plan.format);
  const std::uint32_t code = encode(plan.format, x, grid.scale, plan.rounding.rounding, plan.key, i,
                                    plan.rounding.random_bits);
  const double number = std::abs(static_cast<double>(traits.decode(plan.format, code)));
  const bool floating = plan.format.kind == Format::Kind::floating;
  return {.code = hex_code(code, plan.format),
          .value = decode(plan.format, code, grid.scale),
          .scale = grid.scale,
          .saturated = number >= traits.max(plan.format) && std::isfinite(x) &&
                       std::abs(static_cast<double>(x) / static_cast<double>(grid.scale)) > number,
          .overflow = std::isfinite(x) && !std::isfinite(number),
          .subnormal = floating && number > 0 &&
                       number < traits.unit(plan.format) * std::ldexp(1.0, plan.format.fraction)};
}

/// The numbers of a row, whose blocks follow each other; the last may be short. A block with a NaN
/// or an infinity has NaN for a scale.
void encode_row(const Numbers& numbers, std::int64_t row, const TensorScale& tensor,
                const Plan& plan, std::vector<Encoded>& out) {
  const FormatTraits& traits = traits_of(plan.format);
  for (std::int64_t j = 0; j < numbers.cols; j += plan.format.scaling.block) {
    const auto first = static_cast<std::size_t>(row * numbers.cols + j);
    const auto count = static_cast<std::size_t>(
        std::min<std::int64_t>(plan.format.scaling.block, numbers.cols - j));
    const std::span<const float> x = std::span(numbers.values).subspan(first, count);
    const EncodedBlock block =
        encode_block(plan.format, x, tensor, plan.rounding.rounding, plan.key, first);
    for (std::size_t i = 0; i < count; ++i) {
      const double end = traits.max(plan.format) * static_cast<double>(block.scale);
      out.push_back({.code = hex_code(block.codes[i], plan.format),
                     .value = block.values[i],
                     .scale = block.scale,
                     .saturated = std::abs(static_cast<double>(x[i])) > end &&
                                  std::abs(static_cast<double>(block.values[i])) >= end});
    }
  }
}

std::vector<Encoded> encode_blocks(const Numbers& numbers, const Plan& plan) {
  float largest = 0;
  for (const float x : numbers.values)
    largest = std::isfinite(x) ? std::max(largest, std::abs(x)) : largest;
  const TensorScale tensor = TensorScale::fit(plan.format, largest);
  std::vector<Encoded> all;
  for (std::int64_t row = 0; row < numbers.rows; ++row) encode_row(numbers, row, tensor, plan, all);
  return all;
}

/// What the numbers come to.
struct Summary {
  std::size_t count = 0, saturated = 0, overflow = 0, underflow = 0, subnormal = 0;
  double signal = 0, noise = 0, largest_error = 0;

  void add(float x, const Encoded& e) {
    ++count;
    saturated += e.saturated ? 1 : 0;
    overflow += e.overflow ? 1 : 0;
    subnormal += e.subnormal ? 1 : 0;
    underflow += x != 0 && e.value == 0 ? 1 : 0;
    const double error = static_cast<double>(e.value) - static_cast<double>(x);
    if (!std::isfinite(error)) return;
    signal += static_cast<double>(x) * static_cast<double>(x);
    noise += error * error;
    largest_error = std::max(largest_error, std::abs(error));
  }
  [[nodiscard]] double sqnr() const { return 10 * std::log10(signal / noise); }
};

class Writer {
 public:
  Writer(const QuantizeOptions& options, const Plan& plan, std::ostream& out)
      : options_(options), plan_(plan), out_(out) {}

  void begin() {
    if (options_.json) {
      out_ << "{\"format\":\"" << to_text(plan_.format) << "\",\"rounding\":\""
           << to_text(plan_.rounding) << "\"";
      if (!options_.summary) out_ << ",\"numbers\":[";
    } else if (!options_.summary) {
      out_ << "input\tcode\tvalue" << (plan_.in_blocks() ? "\tscale" : "")
           << (options_.decimal ? "\tdecimal" : "") << '\n';
    }
  }
  void row(const std::string& text, float x, const Encoded& e) {
    summary_.add(x, e);
    if (options_.summary) return;
    if (!options_.json) {
      out_ << text << '\t' << e.code << '\t' << hex_float(e.value);
      if (plan_.in_blocks()) out_ << '\t' << hex_float(e.scale);
      if (options_.decimal) out_ << '\t' << to_text(e.value);
      out_ << '\n';
      return;
    }
    out_ << (summary_.count > 1 ? ",\n" : "\n") << "{\"input\":\"" << text << "\",\"code\":\""
         << e.code << "\",\"value\":" << json_number(static_cast<double>(e.value)) << ",\"hex\":\""
         << hex_float(e.value) << "\",\"scale\":" << json_number(static_cast<double>(e.scale))
         << ",\"error\":" << json_number(static_cast<double>(e.value) - static_cast<double>(x))
         << ",\"flags\":[";
    const char* separator = "";
    for (const auto& [name, is] : {std::pair("saturated", e.saturated),
                                   {"overflow", e.overflow},
                                   {"underflow", x != 0 && e.value == 0},
                                   {"subnormal", e.subnormal}}) {
      if (!is) continue;
      out_ << separator << '"' << name << '"';
      separator = ",";
    }
    out_ << "]}";
  }
  void end() {
    if (options_.json) {
      out_ << (options_.summary ? "" : "]") << ",\"summary\":{\"numbers\":" << summary_.count
           << ",\"sqnr_db\":" << json_number(summary_.sqnr())
           << ",\"saturated\":" << summary_.saturated << ",\"overflow\":" << summary_.overflow
           << ",\"underflow\":" << summary_.underflow << ",\"subnormal\":" << summary_.subnormal
           << ",\"largest_error\":" << json_number(summary_.largest_error) << "}}\n";
    } else if (options_.summary) {
      out_ << "numbers\tsqnr_db\tsaturated\toverflow\tunderflow\tsubnormal\tlargest_error\n"
           << summary_.count << '\t' << to_text(summary_.sqnr()) << '\t' << summary_.saturated
           << '\t' << summary_.overflow << '\t' << summary_.underflow << '\t' << summary_.subnormal
           << '\t' << to_text(summary_.largest_error) << '\n';
    }
    out_.flush();
    require<DataError>(static_cast<bool>(out_), kFull);
  }

 private:
  const QuantizeOptions& options_;
  const Plan& plan_;
  std::ostream& out_;
  Summary summary_;
};

/// All numbers of a format, by codes.
void write_table(const QuantizeOptions& options, Format format, std::ostream& out) {
  const std::span<const float> numbers = all_numbers(format);
  if (options.json) {
    out << "{\"format\":\"" << to_text(format) << "\",\"numbers\":[";
  } else {
    out << "code\tvalue" << (options.decimal ? "\tdecimal" : "") << '\n';
  }
  for (std::uint32_t code = 0; code < numbers.size() && out; ++code) {
    const float number = numbers[code];
    if (options.json) {
      out << (code > 0 ? ",\n" : "\n") << "{\"code\":\"" << hex_code(code, format)
          << "\",\"value\":" << json_number(static_cast<double>(number)) << ",\"hex\":\""
          << hex_float(number) << "\"}";
      continue;
    }
    out << hex_code(code, format) << '\t' << hex_float(number);
    if (options.decimal) out << '\t' << to_text(number);
    out << '\n';
  }
  if (options.json) out << "]}\n";
  out.flush();
  require<DataError>(static_cast<bool>(out), kFull);
}

}  // namespace

void quantize(const QuantizeOptions& options, std::istream& in, std::ostream& out) {
  if (options.table) return write_table(options, Format::parse(options.format), out);
  const Plan plan = plan_of(options);
  const bool non_finite = plan.in_blocks() || (!plan.on_grid() && !plan.scaled());
  const Numbers numbers =
      options.file.empty() ? read_lines(in, non_finite) : read_numbers(options.file, non_finite);
  const bool has_nan =
      plan.on_grid() || plan.in_blocks() || traits_of(plan.format).has_nan(plan.format);
  for (std::size_t i = 0; i < numbers.values.size(); ++i)
    require<DataError>(has_nan || !std::isnan(numbers.values[i]), "[quantize] line ", i + 1, ": ",
                       options.format, " has no NaN; expected a number");
  Writer writer(options, plan, out);
  writer.begin();
  if (plan.in_blocks()) {
    const std::vector<Encoded> all = encode_blocks(numbers, plan);
    for (std::size_t i = 0; i < all.size() && out; ++i)
      writer.row(numbers.text(i), numbers.values[i], all[i]);
    return writer.end();
  }
  const std::vector<Grid> grids = fit_grids(numbers, plan);
  for (std::size_t i = 0; i < numbers.values.size() && out; ++i) {
    const auto cols = static_cast<std::size_t>(numbers.cols);
    const Grid& grid = grids[grids.size() == 1 ? 0 : plan.by_row ? i / cols : i % cols];
    const float x = numbers.values[i];
    writer.row(numbers.text(i), x, encode_number(x, i, grid, plan));
  }
  writer.end();
}

}  // namespace ebb::tools
