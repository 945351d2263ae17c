#include "quant/accumulator.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "core/error.h"
#include "core/read_number.h"
#include "quant/formats/block.h"
#include "quant/formats/names.h"

namespace ebb {
namespace {

using Kind = Accumulator::Kind;

/// Reads NAME(ARGUMENT,ARGUMENT...).
bool parse_call(std::string_view text, std::string_view name, std::vector<std::string>& arguments) {
  if (!text.starts_with(name)) return false;
  text.remove_prefix(name.size());
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') return false;
  arguments = split_list(text.substr(1, text.size() - 2));
  return true;
}

bool parse_count(const std::string& text, std::int64_t most, std::int64_t& count) {
  return parse_canonical(text, count) && count >= 1 && count <= most;
}

constexpr std::int64_t kMostChunk = 65535, kMostFraction = 40;

bool parse_floating(std::string_view text, Accumulator& accumulator) {
  std::vector<std::string> words;
  std::int64_t first = 0, chunk = 0, promote = 0;
  if (parse_call(text, "fp32_blocked", words) && words.size() == 1 &&
      parse_count(words[0], kMostChunk, chunk)) {
    accumulator = {.kind = Kind::blocked, .chunk = static_cast<std::uint16_t>(chunk)};
  } else if (parse_call(text, "f_seq", words) && words.size() == 1) {
    accumulator = {.kind = Kind::sequential, .format = Format::parse(words[0])};
  } else if (parse_call(text, "f_chunk", words) && words.size() == 2 &&
             parse_count(words[1], kMostChunk, chunk)) {
    accumulator = {.kind = Kind::chunked,
                   .chunk = static_cast<std::uint16_t>(chunk),
                   .format = Format::parse(words[0])};
  } else if (parse_call(text, "tc", words) && (words.size() == 2 || words.size() == 3) &&
             parse_count(words[0], kMostFraction, first) &&
             parse_count(words[1], kMostChunk, chunk) &&
             (words.size() == 2 || parse_count(words[2], kMostChunk, promote))) {
    accumulator = {.kind = Kind::tensor_core,
                   .bits = static_cast<std::uint8_t>(first),
                   .chunk = static_cast<std::uint16_t>(chunk),
                   .promote = static_cast<std::uint16_t>(promote)};
  } else {
    return false;
  }
  return true;
}

/// Blocks are summed exactly, and their sums in float32 or exactly.
Accumulator of_blocks(const Accumulator& accumulator, Format a, Format b) {
  const std::uint16_t chunk = std::min(a.scaling.block, b.scaling.block);
  const Accumulator blocked{.kind = Kind::blocked, .chunk = chunk};
  if (accumulator.kind == Kind::standard) return blocked;
  require<ConfigError>(accumulator == Accumulator::exact() || accumulator == blocked,
                       "[accumulator] ", accumulator, " sums no products of blocks of ", chunk,
                       ": choose ", blocked, " or exact");
  return accumulator;
}

}  // namespace

Accumulator Accumulator::wrap(std::int64_t bits) {
  require<ConfigError>(bits >= 2 && bits <= 62,
                       "[accumulator] a narrow accumulator has 2 to 62 bits, got ", bits);
  return {.kind = Kind::wrap, .bits = static_cast<std::uint8_t>(bits)};
}

Accumulator Accumulator::saturate(std::int64_t bits) {
  Accumulator accumulator = wrap(bits);
  accumulator.kind = Kind::saturate;
  return accumulator;
}

Accumulator Accumulator::parse(std::string_view text) {
  if (text == "auto") return {};
  if (text == "exact" || text == "quire") return exact();
  if (text == "fp32") return fp32();
  if (text == "hopper") return parse("tc(13,32,128)");
  if (text == "blackwell") return parse("tc(25,32)");
  std::int64_t bits = 0;
  if (text.starts_with("wrap") && parse_canonical(text.substr(4), bits)) return wrap(bits);
  if (text.starts_with("sat") && parse_canonical(text.substr(3), bits)) return saturate(bits);
  Accumulator accumulator;
  require<ConfigError>(
      parse_floating(text, accumulator), "[accumulator] unknown accumulator '", text,
      "'; known: auto, exact, quire, wrapN and satN with N = 2 .. 62 bits, fp32, fp32_blocked(N), "
      "f_seq(FORMAT), f_chunk(FORMAT,N), tc(W,N) or tc(W,N,PROMOTE) with W = 1 .. 40 bits, hopper, "
      "blackwell");
  require_valid(accumulator);
  return accumulator;
}

void require_valid(const Accumulator& accumulator) {
  if (accumulator.is_narrow()) static_cast<void>(Accumulator::wrap(accumulator.bits));
  if (accumulator.kind == Kind::tensor_core) {
    const int chunk = accumulator.chunk, promote = accumulator.promote;
    require<ConfigError>(
        chunk > 0 && accumulator.bits + std::bit_width(unsigned{accumulator.chunk}) <= 50,
        "[accumulator] tc(W,N) keeps sums of N products in 50 bits: W plus the bits of N are at "
        "most 50, got W = ",
        int{accumulator.bits}, " and N = ", chunk);
    require<ConfigError>(promote % chunk == 0,
                         "[accumulator] tc(W,N,PROMOTE) promotes behind whole chunks: PROMOTE is a "
                         "multiple of N, got ",
                         promote, " and ", chunk);
  }
  if (accumulator.kind != Kind::sequential && accumulator.kind != Kind::chunked) return;
  const Format format = accumulator.format;
  require_valid(format);
  require<ConfigError>(format.kind == Format::Kind::floating && format.sign,
                       "[accumulator] sums are kept in a floating format, got ", format);
}

std::string to_text(const Accumulator& a) {
  switch (a.kind) {
    case Kind::standard: return "auto";
    case Kind::exact: return "exact";
    case Kind::wrap: return concat("wrap", int{a.bits});
    case Kind::saturate: return concat("sat", int{a.bits});
    case Kind::sequential: return a.format.is_fp32() ? "fp32" : concat("f_seq(", a.format, ')');
    case Kind::blocked: return concat("fp32_blocked(", a.chunk, ')');
    case Kind::chunked: return concat("f_chunk(", a.format, ',', a.chunk, ')');
    case Kind::tensor_core: break;
  }
  return concat("tc(", int{a.bits}, ',', a.chunk, a.promote > 0 ? concat(',', a.promote) : "", ')');
}

Accumulator resolve(const Accumulator& asked, Format a, Format b) {
  if (has_blocks(a) && has_blocks(b)) return of_blocks(asked, a, b);
  if (has_blocks(a) || has_blocks(b)) {
    require<ConfigError>(asked.kind == Kind::standard || asked == Accumulator::fp32(),
                         "[accumulator] ", asked, " sums no products of ", a, " and ", b,
                         ": blocks beside another format are decoded, and summed in fp32");
    return Accumulator::fp32();
  }
  const auto has_unit = [](Format format) {
    return traits_of(format).arithmetic(format) == Arithmetic::linear ||
           format.kind == Format::Kind::posit;
  };
  const auto is_linear = [](Format format) {
    return traits_of(format).arithmetic(format) == Arithmetic::linear;
  };
  const bool linear = is_linear(a) && is_linear(b), integers = !has_codec(a) && !has_codec(b),
             numbers = has_codec(a) && has_codec(b);
  if (asked.kind == Kind::standard) {
    const bool exact = linear || (numbers && has_unit(a) && has_unit(b));
    return exact ? Accumulator::exact() : Accumulator::fp32();
  }
  const bool fits = asked.is_narrow()              ? linear
                    : asked.is_exact()             ? linear || numbers
                    : asked == Accumulator::fp32() ? !integers
                                                   : numbers;
  require<ConfigError>(
      fits, "[accumulator] ", asked, " sums no products of ", a, " and ", b, ": ",
      integers ? "integer codes are summed in exact, wrapN or satN"
      : asked.is_narrow()
          ? "wrapN and satN add integer codes; choose exact, fp32, tc(W,N) or another"
          : "an integer beside a float is decoded, and summed in fp32");
  return asked;
}

void require_float32_sums(const Accumulator& accumulator, std::string_view place, Format format) {
  require<ConfigError>(
      accumulator.kind == Accumulator::Kind::standard || accumulator == Accumulator::fp32(), "[",
      place, "] here ", format,
      " is summed in float32 alone, expected accumulator auto or fp32, got ", accumulator,
      "; a rule of --numerics can say accumulator = \"auto\" for this place");
}

}  // namespace ebb
