#include "quant/formats/format.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/mark.h"
#include "core/read_number.h"
#include "quant/formats/fixed.h"
#include "quant/formats/floating.h"
#include "quant/formats/names.h"
#include "quant/formats/posit.h"

namespace ebb {
namespace {

std::optional<std::string> parse_integer(std::string_view name,
                                         std::span<const std::string_view> arguments,
                                         Format& format) {
  std::int64_t bits = 0;
  if (!name.starts_with("int") || !parse_canonical(name.substr(3), bits)) return std::nullopt;
  if (!arguments.empty()) return concat(name, " takes no arguments");
  try {
    format = Format::integer(bits);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}
std::string problem_of_integer(Format format) {
  const bool fits = format.width >= 1 && format.width <= Format::kMaxIntegerBits;
  Format named = fits ? Format::integer(format.width) : format;
  if (format.scaling.block > 0) named.scaling = format.scaling;  // an element of blocks
  return fits && format == named
             ? ""
             : "an integer format is a width of 1 to 16 bits alone: make formats with "
               "Format::integer() or parse()";
}

/// What is wrong with the scale of a format.
std::string problem_of_scaling(Format format) {
  const Scaling& scaling = format.scaling;
  const bool power = scaling.kind == Scaling::Kind::pow2 || scaling.kind == Scaling::Kind::e8m0;
  if (!format.sign && !(scaling == Scaling{})) return "a format of scales has no scale itself";
  if (scaling.rule != Scaling::Rule::floor && !power)
    return "a rule is how a scale that is a power of two is found: it needs scale=pow2 or e8m0";
  if (scaling.exponent != 8 && scaling.kind != Scaling::Kind::pow2)
    return "exponent is of a scale that is a power of two: it needs scale=pow2";
  if (scaling.exponent < 2 || scaling.exponent > 8) return "scales have 2 to 8 bits of exponent";
  if (scaling.block > 0 && scaling.kind == Scaling::Kind::none)
    return "the elements of a block share a scale: choose one of scale=absmax, pow2, e8m0, ue4m3";
  if (scaling.block > 0 && format.width > 16) return "formats of more than 16 bits have no blocks";
  if (scaling.block == 0 && scaling.kind == Scaling::Kind::ue4m3)
    return "scale=ue4m3 is a scale of blocks: it needs block=16 or another length";
  if (scaling.lines < 1 || (scaling.lines > 1 && scaling.block == 0))
    return "lines of a block need its elements, as in block=16x16";
  return "";
}

int width_of(Format format) { return format.width; }
Container container_of(std::int64_t bits) {
  return bits <= 8 ? Container::int8 : bits <= 16 ? Container::int16 : Container::float32;
}
/// The narrowest that holds a code; above 16 bits the value itself.
Container narrowest(Format format) { return container_of(format.width); }

/// The largest number of a floating format in units of its smallest.
double floating_units(Format format) { return floating::max(format) / floating::unit(format); }
/// Narrow numbers with few binades are small integers times the smallest one, which integer kernels
/// multiply as they are.
bool is_linear(Format format) {
  return format.width <= 8 && format.specials == Format::Specials::none && format.sign &&
         floating_units(format) < 0x1p15;
}
Container floating_container(Format format) {
  return !is_linear(format) ? narrowest(format)
                            : container_of(floating_units(format) < 0x1p7 ? 8 : 16);
}

/// Codes of a linear format with one scale or one of each line; where scales vary along what is
/// contracted, blocks of codes.
Arithmetic linear(Format format) {
  return format.scaling.block > 0 ? Arithmetic::blocks : Arithmetic::linear;
}
Arithmetic decoded(Format format) {
  return format.scaling.block > 0 ? Arithmetic::blocks : Arithmetic::decoded;
}

constexpr FormatTraits kTraits[] = {
    {.kind = Format::Kind::floating,
     .names =
         "fp32, tf32, bf16, fp16, any eXmY such as e4m3, e4m3fnuz, e4m3ieee, binary8pP, mxfp8, "
         "mxfp6, mxfp4, nvfp4",
     .parse = floating::parse,
     .print = floating::print,
     .problem = floating::problem,
     .cost_bits = width_of,
     .container = floating_container,
     .arithmetic =
         [](Format format) {
           return is_linear(format)                         ? linear(format)
                  : narrowest(format) == Container::float32 ? Arithmetic::float32
                                                            : decoded(format);
         },
     .largest = [](Format format) { return static_cast<std::int64_t>(floating_units(format)); },
     .max = floating::max,
     .unit = floating::unit,
     .encode = floating::encode,
     .decode = floating::decode,
     .has_nan = floating::has_nan},
    {.kind = Format::Kind::integer,
     .names = "int1 .. int16",
     .parse = parse_integer,
     .print = [](Format format) { return concat("int", int{format.width}); },
     .problem = problem_of_integer,
     .cost_bits = width_of,
     .container = narrowest,
     .arithmetic = [](Format) { return Arithmetic::linear; },
     .largest = [](Format format) { return std::int64_t{1} << (format.width - 1); },
     .has_nan = [](Format) { return false; }},
    {.kind = Format::Kind::posit,
     .names = "posit8, posit16, posit(n,es)",
     .parse = posit::parse,
     .print = posit::print,
     .problem = posit::problem,
     .cost_bits = width_of,
     .container = narrowest,
     .arithmetic = decoded,
     .max = posit::max,
     .unit = posit::unit,
     .encode = posit::encode,
     .decode = posit::decode,
     .has_nan = [](Format) { return true; }},
    {.kind = Format::Kind::fixed,
     .names = "fixedW.F, mxint8, msfp12, msfp16, bfp(mantissa,block,exponent)",
     .parse = fixed::parse,
     .print = fixed::print,
     .problem = fixed::problem,
     .cost_bits = width_of,
     .container = narrowest,
     .arithmetic = linear,
     .largest = fixed::largest,
     .max = fixed::max,
     .unit = fixed::unit,
     .encode = fixed::encode,
     .decode = fixed::decode,
     .has_nan = [](Format) { return false; }},
};
static_assert(std::ranges::is_sorted(kTraits, {}, &FormatTraits::kind));  // a row is found by kind

}  // namespace

std::span<const FormatTraits> format_traits() { return kTraits; }

const FormatTraits& traits_of(Format format) {
  const auto row = static_cast<std::size_t>(format.kind);
  require<ConfigError>(row < std::size(kTraits), "[format] no format of kind ", row,
                       ": make formats with Format::fp32(), integer(), floating() or parse()");
  return kTraits[row];
}

Format Format::integer(std::int64_t bits) {
  require<ConfigError>(bits >= 1 && bits <= kMaxIntegerBits, "[format] integer formats have 1 to ",
                       kMaxIntegerBits, " bits, got ", bits);
  return {.kind = Kind::integer,
          .width = static_cast<std::uint8_t>(bits),
          .exponent = 0,
          .fraction = 0,
          .specials = Specials::none,
          .bias = 0};
}

bool find_format(std::string_view text, Format& format) {
  const FormatText read = read_format(text);
  if (read.length == 0 || !read.problem.empty() || read.length != text.size()) return false;
  format = read.format;
  return true;
}

bool find_width(std::string_view text, Format& format) {
  std::int64_t bits = 0;
  if (!parse_canonical(text, bits)) return find_format(text, format);
  if (bits < 1 || bits > Format::kMaxIntegerBits) return false;
  format = Format::integer(bits);
  return true;
}

Format Format::parse(std::string_view text) {
  FormatText read = read_format(text);
  if (read.length == 0) {
    read.problem = unknown_format(text);
  } else if (read.problem.empty() && read.length != text.size()) {
    read.problem = "expected the end of the format";
    read.place = read.length;
  }
  require<ConfigError>(read.problem.empty(), "[format] ", read.problem,
                       text.empty() ? "" : marked_text(text, read.place));
  return read.format;
}

void require_valid(Format format) {
  std::string problem = traits_of(format).problem(format);
  if (problem.empty()) problem = problem_of_scaling(format);
  require<ConfigError>(problem.empty(), "[format] ", problem);
}

void require_operand(Format format) {
  require_valid(format);
  require<ConfigError>(format.sign, "[format] ", format,
                       " is a format of scales, which are never negative; operands have formats "
                       "with a sign, such as int8, e4m3 or bf16, or blocks with such scales: ",
                       format.fraction == 0 ? "mxfp8, mxfp4" : "nvfp4");
}

std::string to_text(Arithmetic arithmetic) {
  constexpr std::array names{"float32", "linear codes", "codes to be decoded", "blocks of codes"};
  return names[static_cast<std::size_t>(arithmetic)];
}

}  // namespace ebb
