#include "quant/cost_model.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.h"
#include "core/read_number.h"
#include "quant/formats/block.h"
#include "quant/formats/names.h"

namespace ebb {
namespace {

constexpr std::string_view kNames[] = {"bits", "multiplier", "datapath", "throughput"};

int log2_up(std::int64_t n) {
  return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(n - 1)));
}

/// What a multiplier sees of a number: bits of significand, the leading one included, and of
/// exponent.
struct Fields {
  int significand, exponent;
};

bool is_integer(Format format) {
  return format.kind == Format::Kind::integer || format.kind == Format::Kind::fixed;
}

Fields fields_of(Format format) {
  switch (format.kind) {
    case Format::Kind::floating: return {format.fraction + 1, format.exponent};
    case Format::Kind::posit: {  // of the most significant ones
      const int es = format.exponent, n = format.width;
      return {std::max(1, n - 2 - es), log2_up((std::int64_t{2} << es) * (n - 2) + 1)};
    }
    case Format::Kind::integer:
    case Format::Kind::fixed: break;
  }
  return {std::max(1, format.width - 1), 0};  // beside a float: magnitude, the sign apart
}

double multiplier(Format left, Format right) {
  if (is_integer(left) && is_integer(right)) return double{1} * left.width * right.width;
  const Fields a = fields_of(left), b = fields_of(right);
  return a.significand * b.significand + std::max(a.exponent, b.exponent) + 1;
}

/// Shifting by up to W places, in adders: a multiplexer is half of one.
double shifter(int width) { return 0.5 * width * log2_up(width); }

/// Adding a product to a floating sum with so many bits of significand: three bits more are kept.
struct FloatSum {
  double align, add, normalise;
  explicit FloatSum(int significand, int exponent = 8) {
    const int width = significand + 3;
    align = shifter(width);
    add = width;
    normalise = shifter(width) + 0.5 * width + exponent;
  }
  [[nodiscard]] double all() const { return align + add + normalise; }
};

FloatSum sum_in(Format format) { return FloatSum(format.fraction + 1, format.exponent); }

/// Largest magnitude of a product in its smallest unit, in bits, and a sign.
int exact_width(Format left, Format right) {
  double range = 1;
  for (const Format format : {left, right}) {
    const FormatTraits& traits = traits_of(format);
    range *= has_codec(format) ? traits.max(format) / traits.unit(format)
                               : std::ldexp(1.0, format.width - 1);
  }
  return std::ilogb(range) + 2;
}

/// An exact sum of `depth` products.
double exact_sum(Format left, Format right, std::int64_t depth) {
  if (is_integer(left) && is_integer(right)) return left.width + right.width + log2_up(depth);
  const int product = exact_width(left, right), width = product + log2_up(depth),
            places = product - fields_of(left).significand - fields_of(right).significand;
  return 0.5 * width * log2_up(std::max(1, places)) + width;
}

/// Of a block's scales, for each of its products: they are multiplied and their sum is added.
double scales(Format left, Format right, std::int64_t block) {
  double product = 0;
  for (const Format format : {left, right}) {
    const Scaling& scaling = format.scaling;
    if (scaling.kind == Scaling::Kind::absmax) product = std::max(product, 24.0 * 24.0 + 9);
    if (scaling.kind == Scaling::Kind::ue4m3) product = std::max(product, 4.0 * 4.0 + 5);
    if (scaling.kind == Scaling::Kind::e8m0 || scaling.kind == Scaling::Kind::pow2)
      product = std::max(product, 1.0 + scaling.exponent);
  }
  return (product + sum_in(Format::fp32()).all()) / static_cast<double>(block);
}

Format without_scale(Format format) {
  format.scaling = {};
  return format;
}

double datapath(Format left, Format right, const Accumulator& how, std::int64_t depth) {
  const Format a = without_scale(left), b = without_scale(right);
  const double product = multiplier(a, b);
  if (has_blocks(left) && has_blocks(right)) {
    const std::int64_t block = std::min(left.scaling.block, right.scaling.block);
    return product + exact_sum(a, b, block) + scales(left, right, block);
  }
  const double chunk = how.chunk > 0 ? how.chunk : 1;
  switch (how.kind) {
    case Accumulator::Kind::standard:
    case Accumulator::Kind::exact: return product + exact_sum(a, b, depth);
    case Accumulator::Kind::wrap:
    case Accumulator::Kind::saturate: return product + how.bits;
    case Accumulator::Kind::sequential: return product + sum_in(how.format).all();
    case Accumulator::Kind::blocked:
      return product + exact_sum(a, b, how.chunk) + sum_in(Format::fp32()).all() / chunk;
    case Accumulator::Kind::chunked: return product + (1 + 1 / chunk) * sum_in(how.format).all();
    case Accumulator::Kind::tensor_core: break;
  }
  const FloatSum sum(how.bits + 1);
  const double promotion = how.promote > 0 ? sum_in(Format::fp32()).all() / how.promote : 0.0;
  return product + sum.align + sum.add + sum.normalise / chunk + promotion;
}

double speed_of(const CostModel& model, Format format) {
  const std::string name = to_text(format);
  double speed = 0;
  std::int64_t narrowest = 1 << 20;
  for (const auto& [key, value] : model.speeds) {
    if (key == name) return value;
    std::int64_t bits = 0;
    if (parse_canonical(key, bits) && bits >= cost_bits(format) && bits <= narrowest) {
      narrowest = bits;
      speed = value;
    }
  }
  require<ConfigError>(speed > 0, "[cost model] ", model, " has no speed for ", format);
  return speed;
}

/// "K=4096" or "8=2" as name and value.
std::pair<std::string, std::string> parse_setting(std::string_view model, const std::string& text) {
  const std::size_t equals = text.rfind('=');
  require<ConfigError>(equals != std::string::npos && equals > 0, "[cost model] ", model,
                       " takes NAME=VALUE, got '", text, "'");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void set_speed(CostModel& model, const std::string& name, const std::string& value) {
  double speed = 0;
  std::int64_t bits = 0;
  Format format;
  const bool width = parse_canonical(name, bits) && bits >= 1 && bits <= 32;
  require<ConfigError>(width || find_format(name, format),
                       "[cost model] throughput has a speed for "
                       "a format or for formats of up to 1 .. 32 bits, got '",
                       name, "'");
  require<ConfigError>(parse_number(value, speed) && std::isfinite(speed) && speed > 0,
                       "[cost model] the speed of ", name, " is a number above 0, got '", value,
                       "'");
  const std::string key = width ? name : to_text(format);
  const auto same = std::ranges::find(model.speeds, key, &std::pair<std::string, double>::first);
  if (same != model.speeds.end()) {
    same->second = speed;
  } else {
    model.speeds.emplace_back(key, speed);
  }
}

}  // namespace

CostModel CostModel::parse(std::string_view text) {
  const std::size_t open = text.find('(');
  const std::string_view name = text.substr(0, open);
  CostModel model;
  std::size_t kind = 0;
  while (kind < std::size(kNames) && name != kNames[kind] && name != concat('m', kind)) ++kind;
  require<ConfigError>(
      kind < std::size(kNames), "[cost model] no model '", text,
      "'; known: bits, multiplier, datapath or datapath(K=PRODUCTS), throughput or "
      "throughput(BITS=SPEED,FORMAT=SPEED...)");
  model.kind = static_cast<Kind>(kind);
  if (open == std::string_view::npos) return model;
  require<ConfigError>(text.ends_with(')'), "[cost model] '", text, "' has no closing parenthesis");
  for (const std::string& setting : split_list(text.substr(open + 1, text.size() - open - 2))) {
    const auto [key, value] = parse_setting(name, setting);
    if (model.kind == Kind::throughput) {
      set_speed(model, key, value);
      continue;
    }
    require<ConfigError>(model.kind == Kind::datapath && key == "K", "[cost model] ", name,
                         " has no setting '", key, "'; datapath has K, throughput has speeds");
    require<ConfigError>(parse_canonical(value, model.depth) && model.depth >= 1 &&
                             model.depth <= std::int64_t{1} << 40,
                         "[cost model] K is the number of products of a sum, 1 .. 2^40; got '",
                         value, "'");
  }
  return model;
}

std::string to_text(const CostModel& model) {
  std::string name(kNames[static_cast<std::size_t>(model.kind)]);
  if (model.kind == CostModel::Kind::datapath) return concat(name, "(K=", model.depth, ')');
  if (model.kind != CostModel::Kind::throughput) return name;
  std::vector<std::string> speeds;
  for (const auto& [key, speed] : model.speeds) speeds.push_back(concat(key, '=', speed));
  return concat(name, '(', join_words(speeds, ","), ')');
}

std::string CostModel::short_text() const {
  return speeds == CostModel{}.speeds && kind == Kind::throughput ? "throughput" : to_text(*this);
}

std::string CostModel::unit() const {
  switch (kind) {
    case Kind::bits: return "bit-operations";
    case Kind::multiplier: return "adders of multipliers";
    case Kind::datapath: return "adders of datapaths";
    case Kind::throughput: break;
  }
  return "products of 16 bits";
}

std::string to_text(const CostBasis& basis) {
  const std::string reference = cost_reference_text(basis.reference);
  return basis.model.kind == CostModel::Kind::bits
             ? reference
             : concat(reference, " by ", basis.model.short_text());
}

double CostModel::of(Format left, Format right, const Accumulator& accumulator) const {
  switch (kind) {
    case Kind::bits: return double{1} * cost_bits(left) * cost_bits(right);
    case Kind::multiplier: return multiplier(left, right);
    case Kind::datapath: return datapath(left, right, accumulator, depth);
    case Kind::throughput: break;
  }
  return 1 / std::min(speed_of(*this, left), speed_of(*this, right));
}

std::optional<double> cost(const CostLedger& ledger, const CostModel& model) {
  if (model.kind == CostModel::Kind::bits) return static_cast<double>(ledger.total_bit_ops());
  double sum = 0;
  for (const CostLedger::Row& row : ledger.rows()) {
    for (std::size_t p = 0; p < kProducts; ++p) {
      uint128 known = 0;
      for (const CostLedger::Operations& each : row.operations[p]) {
        known += each.macs;
        sum += static_cast<double>(each.macs) * model.of(each.left, each.right, each.accumulator);
      }
      if (known != row.cells[p].macs) return std::nullopt;
    }
  }
  return sum;
}

double cost_under(const CostLedger& ledger, const CostModel& model, const PrecisionPlan& plan) {
  CostLedger other;
  other.charge(ledger, plan);
  return cost(other, model).value();
}

}  // namespace ebb
