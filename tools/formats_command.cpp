#include "tools/formats_command.h"

#include <cmath>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "quant/formats/names.h"

namespace ebb::tools {
namespace {

/// What people look up of a format; 0 where it has no such number.
struct Facts {
  Format format;
  double largest = 0, normal = 0, subnormal = 0, epsilon = 0;
  std::string special{};
};

std::string specials_of(Format f) {
  using enum Format::Specials;
  switch (f.specials) {
    case none: return "-0";
    case nan: return f.sign ? "-0 nan" : "nan";
    case ieee: return f.fraction > 0 ? "-0 inf nan" : "-0 inf";
    case fnuz: return "nan";
    case p3109: break;
  }
  return "inf nan";
}

Facts facts_of(Format f) {
  const FormatTraits& traits = traits_of(f);
  Facts facts{.format = f};
  if (!has_codec(f)) return facts;
  facts.largest = traits.max(f);
  facts.normal = traits.unit(f);
  switch (f.kind) {
    case Format::Kind::floating:
      facts.epsilon = std::ldexp(1.0, -f.fraction);
      if (f.fraction > 0 || f.sign) facts.normal = std::ldexp(1.0, 1 - f.bias);
      if (f.fraction > 0 && f.subnormals) facts.subnormal = traits.unit(f);
      facts.special = specials_of(f);
      break;
    case Format::Kind::posit:  // 1 has two bits of regime
      facts.epsilon = std::ldexp(1.0, std::min(0, f.exponent + 3 - f.width));
      facts.special = "nar";
      break;
    default: facts.epsilon = traits.unit(f);
  }
  return facts;
}

std::string scale_of(Format f) {
  const Scaling& s = f.scaling;
  if (f.kind == Format::Kind::integer) return "grid";
  const char* const kinds[] = {"none", "absmax", "pow2", "e8m0", "ue4m3"};
  return concat(kinds[static_cast<std::size_t>(s.kind)], s.block > 0 ? concat('/', s.block) : "");
}

std::vector<Format> all_formats() {
  std::vector<Format> all;
  const auto add = [&](std::string_view text) { all.push_back(Format::parse(text)); };
  for (int bits = 1; bits <= Format::kMaxIntegerBits; ++bits) all.push_back(Format::integer(bits));
  for (const char* each :
       {"e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "e8m0", "ue4m3", "e4m3fnuz", "e5m2fnuz",
        "binary8p3", "binary8p4", "posit(8,0)", "posit(8,1)", "posit(16,1)", "fixed8.6"})
    add(each);
  for (const FormatName& each : format_names()) {
    if (each.printed) add(each.text);
  }
  return all;
}

}  // namespace

void print_formats(bool json, std::ostream& out) {
  constexpr std::pair<const char*, double Facts::*> kNumbers[] = {
      {"largest", &Facts::largest},
      {"smallest_normal", &Facts::normal},
      {"smallest_subnormal", &Facts::subnormal},
      {"epsilon", &Facts::epsilon}};
  out << (json ? "["
               : "name\tbits\tlargest\tsmallest_normal\tsmallest_subnormal\tepsilon\tscale\t"
                 "special\n");
  const char* separator = "\n";
  for (const Format format : all_formats()) {
    const Facts facts = facts_of(format);
    const std::string name = to_text(format), bits = to_text(cost_bits(format));
    if (json) {
      out << separator << "{\"name\":\"" << name << "\",\"bits\":" << bits;
      separator = ",\n";
    } else {
      out << name << '\t' << bits;
    }
    for (const auto& [key, member] : kNumbers) {
      const double number = facts.*member;
      if (json) {
        out << ",\"" << key << "\":" << (number > 0 ? to_text(number) : "null");
      } else {
        out << '\t' << (number > 0 ? to_text(number) : "-");
      }
    }
    if (json) {
      out << ",\"scale\":\"" << scale_of(format) << "\",\"special\":\"" << facts.special << "\"}";
    } else {
      out << '\t' << scale_of(format) << '\t' << (facts.special.empty() ? "-" : facts.special)
          << '\n';
    }
  }
  if (json) out << "\n]\n";
  out.flush();
  require<DataError>(static_cast<bool>(out),
                     "[formats] cannot write the list: is the disk full or the pipe closed?");
}

}  // namespace ebb::tools
