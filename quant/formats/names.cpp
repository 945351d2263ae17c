#include "quant/formats/names.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/error.h"
#include "core/read_number.h"

namespace ebb {
namespace {

constexpr FormatName kNames[] = {{"fp32", "e8m23"},
                                 {"tf32", "e8m10"},
                                 {"bf16", "e8m7"},
                                 {"fp16", "e5m10"},
                                 {"e4m3ieee", "e4m3(inf=yes)"},
                                 {"posit8", "posit(8,2)"},
                                 {"posit16", "posit(16,2)"},
                                 {"mxfp8", "e4m3(scale=e8m0,block=32)"},
                                 {"mxfp8(e5m2)", "e5m2(scale=e8m0,block=32)"},
                                 {"mxfp6", "e3m2(scale=e8m0,block=32)"},
                                 {"mxfp6(e2m3)", "e2m3(scale=e8m0,block=32)"},
                                 {"mxfp4", "e2m1(scale=e8m0,block=32)"},
                                 {"mxint8", "fixed8.6(scale=e8m0,block=32)"},
                                 {"nvfp4", "e2m1(scale=ue4m3,block=16)"},
                                 {"msfp12", "bfp(3,16,8)"},
                                 {"msfp16", "bfp(7,16,8)"},
                                 {"fp8", "e4m3", false},
                                 {"fp6", "e3m2", false},
                                 {"fp4", "e2m1", false},
                                 {"mxfp8(e4m3)", "e4m3(scale=e8m0,block=32)", false},
                                 {"mxfp6(e3m2)", "e3m2(scale=e8m0,block=32)", false},
                                 {"mxfp4(e2m1)", "e2m1(scale=e8m0,block=32)", false}};

/// What a mistyped name is compared with, beside kNames.
constexpr std::string_view kExamples[] = {
    "e4m3",     "e5m2",     "e3m2",      "e2m3",      "e2m1",        "e8m0",  "ue4m3",
    "e4m3fnuz", "e5m2fnuz", "e4m3ieee",  "int4",      "int8",        "int16", "posit(8,2)",
    "posit",    "fixed8.6", "binary8p3", "binary8p4", "bfp(3,16,8)", "bfp"};

using Specials = Format::Specials;

template <class Enum, std::size_t N>
bool read_word(std::string_view text, const std::array<std::string_view, N>& words, Enum& value) {
  const auto found = std::ranges::find(words, text);
  if (found == words.end()) return false;
  value = static_cast<Enum>(found - words.begin());
  return true;
}
template <class Enum, std::size_t N>
std::string word_of(const std::array<std::string_view, N>& words, Enum value) {
  return std::string(words[static_cast<std::size_t>(value)]);
}

constexpr std::array<std::string_view, 2> kYesNo{"no", "yes"};
constexpr std::array<std::string_view, 3> kOverflows{"ieee", "saturate", "nan"};
constexpr std::array<std::string_view, 5> kScales{"none", "absmax", "pow2", "e8m0", "ue4m3"};
constexpr std::array<std::string_view, 4> kRules{"floor", "ceil", "even", "rceil"};

bool read_bias(std::string_view text, std::int16_t first, std::int16_t& bias) {
  std::int64_t value = 0;
  if (!parse_canonical(text, value) || value < -500 || value > 500) return false;
  bias = static_cast<std::int16_t>(first + value);
  return true;
}

bool read_block(std::string_view text, Scaling& scaling) {
  const std::size_t by = text.find('x');
  std::int64_t lines = 1, block = 0;
  if (by != std::string_view::npos && !parse_canonical(text.substr(0, by), lines)) return false;
  if (!parse_canonical(by == std::string_view::npos ? text : text.substr(by + 1), block))
    return false;
  if (lines < 1 || lines > 255 || block < 1 || block > 65535) return false;
  scaling.lines = static_cast<std::uint8_t>(lines);
  scaling.block = static_cast<std::uint16_t>(block);
  return true;
}
std::string block_text(const Scaling& scaling) {
  return scaling.lines > 1 ? concat(int{scaling.lines}, 'x', scaling.block)
                           : to_text(int{scaling.block});
}

bool is_floating(Format f) { return f.kind == Format::Kind::floating; }
bool is_posit(Format f) { return f.kind == Format::Kind::posit; }
bool is_scaled(Format f) { return f.kind != Format::Kind::integer && f.sign; }

/// An option: how it is read, and what it is in a format.
struct Option {
  std::string_view key, expected;
  bool (*applies)(Format);
  bool (*read)(std::string_view, Format&);
  std::string (*print)(Format);
};
/// In the order in which they are printed. Those of special values follow from each other: formats
/// with infinities have NaNs.
constexpr Option kOptions[] = {
    {"bias", "a whole number from -500 to 500", is_floating,
     [](std::string_view text, Format& f) { return read_bias(text, 0, f.bias); },
     [](Format f) { return to_text(int{f.bias}); }},
    {"offset", "a whole number from -500 to 500", is_floating,
     [](std::string_view text, Format& f) { return read_bias(text, f.bias, f.bias); },
     [](Format) { return std::string(); }},
    {"inf", "yes or no", is_floating,
     [](std::string_view text, Format& f) {
       bool yes = false;
       if (!read_word(text, kYesNo, yes)) return false;
       if (f.specials == Specials::ieee || yes) f.specials = yes ? Specials::ieee : Specials::nan;
       return true;
     },
     [](Format f) {
       return word_of(kYesNo, f.specials == Specials::ieee || f.specials == Specials::p3109);
     }},
    {"nan", "yes or no", is_floating,
     [](std::string_view text, Format& f) {
       bool yes = false;
       if (!read_word(text, kYesNo, yes)) return false;
       if (!yes) f.specials = Specials::none;
       if (yes && f.specials == Specials::none) f.specials = Specials::nan;
       return true;
     },
     [](Format f) { return word_of(kYesNo, f.specials != Specials::none); }},
    {"subnormals", "yes or no", is_floating,
     [](std::string_view text, Format& f) { return read_word(text, kYesNo, f.subnormals); },
     [](Format f) { return word_of(kYesNo, f.subnormals); }},
    {"overflow", "saturate, ieee or nan", is_floating,
     [](std::string_view text, Format& f) { return read_word(text, kOverflows, f.overflow); },
     [](Format f) { return word_of(kOverflows, f.overflow); }},
    {"underflow", "yes or no", is_posit,
     [](std::string_view text, Format& f) { return read_word(text, kYesNo, f.underflow); },
     [](Format f) { return word_of(kYesNo, f.underflow); }},
    {"scale", "none, absmax, pow2, e8m0 or ue4m3", is_scaled,
     [](std::string_view text, Format& f) { return read_word(text, kScales, f.scaling.kind); },
     [](Format f) { return word_of(kScales, f.scaling.kind); }},
    {"exponent", "2 to 8 bits", is_scaled,
     [](std::string_view text, Format& f) {
       std::int64_t bits = 0;
       if (!parse_canonical(text, bits) || bits < 2 || bits > 8) return false;
       f.scaling.exponent = static_cast<std::uint8_t>(bits);
       return true;
     },
     [](Format f) { return to_text(int{f.scaling.exponent}); }},
    {"rule", "floor, ceil, even or rceil", is_scaled,
     [](std::string_view text, Format& f) { return read_word(text, kRules, f.scaling.rule); },
     [](Format f) { return word_of(kRules, f.scaling.rule); }},
    {"block", "elements from 1 to 65535, or lines and elements as in 16x16", is_scaled,
     [](std::string_view text, Format& f) { return read_block(text, f.scaling); },
     [](Format f) { return block_text(f.scaling); }},
};

std::string without_prefix(std::string_view problem) {
  constexpr std::string_view kPrefix = "[format] ";
  return std::string(problem.starts_with(kPrefix) ? problem.substr(kPrefix.size()) : problem);
}

std::string problem_of(Format format) {
  try {
    require_valid(format);
  } catch (const ConfigError& error) {
    return without_prefix(error.what());
  }
  return "";
}

/// One of what stands in parentheses: an argument, or an option and its value.
struct Item {
  std::string_view key, value;  // of an argument only the value
  std::size_t place = 0, value_place = 0;
};

/// The characters at the beginning of a text that may be a name.
std::string_view name_of(std::string_view text) {
  constexpr std::string_view kNameCharacters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
  return text.substr(0, text.find_first_not_of(kNameCharacters));
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  FormatText read() {
    const std::string_view name = name_of(text_);
    if (!is_name(name)) return result_;
    const std::size_t end = name.size();
    result_.length = end;
    if (end < text_.size() && text_[end] == '(' && !items()) return result_;
    std::vector<std::string_view> arguments;
    for (const Item& item : items_) {
      if (item.key.empty()) arguments.push_back(item.value);
    }
    const std::optional<std::string> problem = read_name(name, arguments);
    if (!problem) return fail(first_place(), wrong_arguments(name));
    if (!problem->empty()) return fail(first_place(), without_prefix(*problem));
    options();
    return result_;
  }

 private:
  FormatText& fail(std::size_t place, std::string problem) {
    result_.problem = std::move(problem);
    result_.place = place;
    return result_;
  }
  [[nodiscard]] std::size_t first_place() const { return items_.empty() ? 0 : items_[0].place; }

  /// Whether formats are called so, with whatever in parentheses.
  static bool is_name(std::string_view name) {
    Format any;
    return std::ranges::any_of(kNames,
                               [&](const FormatName& each) { return is_called(each, name); }) ||
           std::ranges::any_of(format_traits(), [&](const FormatTraits& row) {
             return row.parse(name, {}, any).has_value();
           });
  }
  static bool is_called(const FormatName& each, std::string_view name) {
    return each.text.substr(0, each.text.find('(')) == name;
  }

  static std::string wrong_arguments(std::string_view name) {
    std::vector<std::string> forms;
    for (const FormatName& each : kNames) {
      if (is_called(each, name)) forms.emplace_back(each.text);
    }
    return concat(name, " is ", join_words(forms, " or "), ", with options KEY=VALUE behind");
  }

  /// Reads "(ITEM, ITEM)".
  bool items() {
    std::size_t at = result_.length;
    do {
      ++at;
      const std::size_t first = std::min(text_.find_first_not_of(' ', at), text_.size());
      const std::size_t end = text_.find_first_of(",()", first);
      if (end == std::string_view::npos || text_[end] == '(') {
        fail(std::min(end, text_.size()), end == std::string_view::npos
                                              ? "expected ')' at the end of the options"
                                              : "expected ',' or ')'");
        return false;
      }
      const std::string_view item = trimmed(text_.substr(first, end - first));
      if (item.empty()) {
        fail(first, "expected an option KEY=VALUE");
        return false;
      }
      add(item, first);
      at = end;
    } while (text_[at] == ',');
    result_.length = at + 1;
    return true;
  }
  void add(std::string_view item, std::size_t place) {
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) {
      items_.push_back({{}, item, place, place});
      return;
    }
    const std::string_view value = item.substr(equals + 1);
    const std::size_t blanks = std::min(value.find_first_not_of(' '), value.size());
    items_.push_back({trimmed(item.substr(0, equals)), value.substr(blanks), place,
                      place + equals + 1 + blanks});
  }
  static std::string_view trimmed(std::string_view text) {
    return text.substr(0, text.find_last_not_of(' ') + 1);
  }

  /// The format that a name and its arguments stand for, without options.
  std::optional<std::string> read_name(std::string_view name,
                                       std::span<const std::string_view> arguments) {
    std::string whole(name);
    for (const std::string_view argument : arguments)
      whole += concat(argument.data() == arguments[0].data() ? "(" : ",", argument);
    if (!arguments.empty()) whole += ')';
    for (const FormatName& each : kNames) {
      if (each.text != whole) continue;
      result_.format = Reader(each.description).read().format;
      return "";
    }
    for (const FormatTraits& row : format_traits()) {
      if (auto problem = row.parse(name, arguments, result_.format)) return problem;
    }
    return std::nullopt;
  }

  void options() {
    const Format plain = result_.format;
    std::vector<std::string> keys;
    for (const Option& each : kOptions) {
      if (each.applies(plain)) keys.emplace_back(each.key);
    }
    for (const Item& item : items_) {
      if (!item.key.empty() && !is_known(item, keys)) return;
    }
    for (const Option& each : kOptions) {  // in this order, whatever the order of the text
      const auto item = std::ranges::find(items_, each.key, &Item::key);
      if (item == items_.end() || each.read(item->value, result_.format)) continue;
      fail(item->value_place,
           concat(each.key, " expects ", each.expected, ", got '", item->value, "'"));
      return;
    }
    for (const Option& each : kOptions) {
      const auto item = std::ranges::find(items_, each.key, &Item::key);
      if ((each.key != "inf" && each.key != "nan") || item == items_.end()) continue;
      const bool own = plain.specials == Specials::fnuz || plain.specials == Specials::p3109;
      if (!own && each.print(result_.format) == item->value) continue;
      fail(item->place, own ? "the special values of this format are fixed"
                            : "formats with infinities have NaNs too");
      return;
    }
    if (std::string problem = problem_of(result_.format); !problem.empty())
      fail(first_place(), std::move(problem));
  }
  bool is_known(const Item& item, std::span<const std::string> keys) {
    if (std::ranges::find(keys, item.key) == keys.end()) {
      fail(item.place, keys.empty() ? concat("this format has no options, got '", item.key, "'")
                                    : unknown_word("option", item.key, keys));
    } else if (std::ranges::find(items_, item.key, &Item::key)->place != item.place) {
      fail(item.place, concat(item.key, " is given twice"));
    }
    return result_.problem.empty();
  }

  std::string_view text_;
  std::vector<Item> items_;
  FormatText result_;
};

struct Named {
  std::string_view text;
  Format format;
};
/// The names that are printed, read once.
const std::vector<Named>& printed_names() {
  static const std::vector<Named> names = [] {
    std::vector<Named> all;
    for (const FormatName& each : kNames) {
      if (each.printed) all.push_back({each.text, Reader(each.description).read().format});
    }
    return all;
  }();
  return names;
}

/// `name` with what differs from it, if options can say it.
std::optional<std::string> described(std::string_view name, Format plain, Format format) {
  std::string text(name);
  const bool open = text.ends_with(')');
  if (open) text.pop_back();
  bool first = !open;
  for (const Option& each : kOptions) {
    if (!each.applies(format) || each.print(plain) == each.print(format)) continue;
    text += concat(first ? '(' : ',', each.key, '=', each.print(format));
    first = false;
  }
  if (!first) text += ')';
  const FormatText read = Reader(text).read();
  if (!read.problem.empty() || !(read.format == format)) return std::nullopt;
  return text;
}

}  // namespace

FormatText read_format(std::string_view text) { return Reader(text).read(); }

std::string unknown_format(std::string_view text) {
  const std::string_view name = name_of(text);
  const std::string known = join_words(known_formats());
  if (name.empty()) return concat("expected a format; known: ", known);
  std::vector<std::string> words(std::begin(kExamples), std::end(kExamples));
  for (const FormatName& each : kNames) words.emplace_back(each.text);
  const std::string near = nearest_word(name, words);
  if (near.empty()) return concat("unknown format '", name, "'; known: ", known);
  return concat("unknown format '", name, "'; did you mean '", near, "'? Known: ", known);
}

void set_option(Format& format, std::string_view key, std::string_view value) {
  const auto found = std::ranges::find_if(
      kOptions, [&](const Option& each) { return each.key == key && each.applies(format); });
  require<ConfigError>(found != std::end(kOptions), "[format] ", format, " has no option ", key);
  require<ConfigError>(found->read(value, format), "[format] ", key, " expects ", found->expected,
                       ", got '", value, "'");
  require_valid(format);
}

std::span<const FormatName> format_names() { return kNames; }

std::vector<std::string> known_formats() {
  std::vector<std::string> known;
  for (const FormatTraits& row : format_traits()) {
    for (const std::string& name : split_list(row.names)) known.push_back(name);
  }
  return known;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  int depth = 0;
  for (const char c : text) {
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (parts.empty() || (c == ',' && depth <= 0)) parts.emplace_back();
    if ((c != ',' || depth > 0) && (c != ' ' || !parts.back().empty())) parts.back() += c;
  }
  return parts;
}

std::string to_text(Format format) {
  std::string best;
  const auto consider = [&](std::string_view name, Format plain) {
    const auto text = described(name, plain, format);
    if (text && (best.empty() || text->size() < best.size())) best = *text;
  };
  for (const Named& each : printed_names()) {
    if (each.format == format) return std::string(each.text);
    if (each.format.kind == format.kind && each.format.width == format.width &&
        each.format.exponent == format.exponent && each.format.fraction == format.fraction)
      consider(each.text, each.format);
  }
  const std::string own = traits_of(format).print(format);
  consider(own, Reader(own).read().format);
  return best.empty() ? own : best;
}

}  // namespace ebb
