#include "train/options/numerics.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/error.h"
#include "core/printable.h"
#include "core/text.h"
#include "schedules/schedule.h"
#include "train/files.h"

namespace ebb::train {
namespace {

constexpr std::array<const char*, 3> kScales{"none", "absmax", "pow2"};

[[noreturn]] void fail(const toml::source_region& source, std::string_view what) {
  throw ConfigError(
      concat("line ", source.begin.line, ", column ", source.begin.column, ": ", what));
}

/// Does what the text of a node asks for, naming its place in what it throws.
template <class F>
auto at_place(const toml::node& node, std::string_view key, const F& f) {
  try {
    return f();
  } catch (const ConfigError& error) {
    fail(node.source(), concat(key, ": ", error.what()));
  }
}

std::string text_of(const toml::node& node, std::string_view key) {
  const auto* const text = node.as_string();
  if (text == nullptr) fail(node.source(), concat(printable(key), ": expected a text in quotes"));
  return text->get();
}

Scaling::Kind parse_scale(std::string_view text) {
  const auto* const found = std::ranges::find(kScales, text);
  const std::vector<std::string> known(kScales.begin(), kScales.end());
  require<ConfigError>(found != kScales.end(), unknown_word("scale", text, known));
  return static_cast<Scaling::Kind>(found - kScales.begin());
}

Role parse_role(std::string_view text) {
  std::vector<std::string> names;
  for (const Role role : {Role::weight, Role::activation, Role::gradient}) {
    if (to_text(role) == text) return role;
    names.push_back(to_text(role));
  }
  throw ConfigError(unknown_word("role", text, names));
}

Product parse_layer_product(std::string_view text) {
  const Product product = parse_product(text);
  require<ConfigError>(product != Product::aggregate && product != Product::aggregate_grad,
                       "sums over neighbours have the numerics of forward and of grad_left; name "
                       "these, and the site");
  return product;
}

/// A format's name, or a schedule of names, as --weight-format takes it.
void require_format(const std::string& text) {
  std::int64_t bits = 0;
  require<ConfigError>(!parse_number(text, bits), "a format has a name, such as int", text,
                       ", got ", text);
  const Schedule schedule = Schedule::parse(text);
  require<ConfigError>(schedule.is_whole(), "'", text,
                       "' may yield fractions, which are no widths");
  require<ConfigError>(
      schedule.group_names().empty(),
      "a rule is for the sites of its pattern alone; write a rule for each in place "
      "of group{...}");
  if (Format format; find_width(text, format)) require_operand(format);
}

void set(NumericsRule& rule, std::string_view key, const toml::node& node) {
  const std::string text = text_of(node, key);
  at_place(node, key, [&] {
    if (key == "pattern") {
      require<ConfigError>(!text.empty(),
                           "expected the name of a site, or a pattern such as conv*");
      rule.pattern = text;
    } else if (key == "role") {
      rule.role = parse_role(text);
    } else if (key == "product") {
      rule.product = parse_layer_product(text);
    } else if (key == "format") {
      require<ConfigError>(!text.empty(), "expected a format, such as e4m3");
      require_format(text);
      rule.format = text;
    } else if (key == "scale") {
      rule.scale = parse_scale(text);
    } else if (key == "grid") {
      rule.grid = parse_grid_style(text);
    } else if (key == "rounding") {
      rule.rounding = parse_rounding_mode(text);
    } else if (key == "accumulator") {
      rule.accumulator = Accumulator::parse(text);
    } else if (key == "transform") {
      rule.transform = parse_transform(text);
    } else {
      const std::array<std::string, 9> known{"pattern",  "role",        "product",
                                             "format",   "scale",       "grid",
                                             "rounding", "accumulator", "transform"};
      throw ConfigError(unknown_word("key", key, known));
    }
  });
}

NumericsRule rule_of(const toml::table& table) {
  NumericsRule rule;
  for (const auto& [key, node] : table) set(rule, key.str(), node);
  const auto expect = [&](bool ok, std::string_view what) {
    if (!ok) fail(table.source(), what);
  };
  expect(!rule.pattern.empty(), "a rule needs a pattern of names of sites; \"*\" is all of them");
  const bool encodes = !rule.format.empty() || rule.scale || rule.grid || rule.rounding;
  expect(
      encodes || rule.accumulator || rule.transform,
      "a rule says a format, scale, grid, rounding, accumulator or transform; this one says none");
  expect(!rule.accumulator || !rule.role,
         "an accumulator is of a product, not of a role; write another rule for it");
  expect(!rule.transform || !rule.role,
         "a transform is of a product, not of a role; write another rule for it");
  const bool meets = std::ranges::any_of(
      kProductOperands, [&](const ProductOperand& operand) { return rule.is_for(operand); });
  expect(meets,
         meets ? ""
               : concat("no ", *rule.role, " is multiplied in ", *rule.product,
                        ": forward multiplies activations and weights, grad_left gradients and "
                        "weights, grad_right activations and gradients"));
  return rule;
}

/// As a basic string of TOML.
std::string quoted(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte == 127) {
      result += concat("\\u00", kHex[byte >> 4], kHex[byte & 15]);
    } else {
      if (c == '"' || c == '\\') result += '\\';
      result += c;
    }
  }
  return result + '"';
}

/// Whether a name is of a pattern with * and ?.
bool is_of(std::string_view name, std::string_view pattern) {
  std::size_t n = 0, p = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {  // the last * takes one more
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return std::ranges::all_of(pattern.substr(p), [](char c) { return c == '*'; });
}

}  // namespace

bool NumericsRule::is_for(const Site& site) const {
  return is_of(site.name, pattern) || site.matches(pattern);
}

bool NumericsRule::is_for(const ProductOperand& operand) const {
  return role.value_or(operand.role) == operand.role &&
         product.value_or(operand.product) == operand.product;
}

int NumericsRule::rank(const Site& site) const {
  const bool wild = pattern.find_first_of("*?") != std::string::npos;
  const int of_pattern = site.name == pattern ? 2 : wild ? 0 : 1;
  return 3 * of_pattern + (role ? 1 : 0) + (product ? 1 : 0);
}

std::vector<NumericsRule> parse_numerics(std::string_view text) {
  std::vector<NumericsRule> rules;
  try {
    const toml::table all = toml::parse(text);
    for (const auto& [key, node] : all) {
      const toml::array* const array = node.as_array();
      if (key.str() != "rule" || array == nullptr)
        fail(node.source(), concat("expected tables [[rule]], got ", printable(key.str())));
      for (const toml::node& each : *array) {
        const toml::table* const table = each.as_table();
        if (table == nullptr) fail(each.source(), "expected a table [[rule]]");
        rules.push_back(rule_of(*table));
      }
    }
  } catch (const toml::parse_error& error) {
    fail(error.source(), concat(error.description(),
                                "; expected TOML, tables [[rule]] as in "
                                "format = \"e4m3\""));
  }
  require<ConfigError>(!rules.empty(), "there is no rule: expected tables [[rule]]");
  return rules;
}

std::string toml_of(const NumericsRule& rule) {
  std::string text = concat("{pattern = ", quoted(rule.pattern));
  const auto add = [&text](std::string_view key, const std::string& value) {
    text += concat(", ", key, " = ", quoted(value));
  };
  if (rule.role) add("role", to_text(*rule.role));
  if (rule.product) add("product", to_text(*rule.product));
  if (!rule.format.empty()) add("format", rule.format);
  if (rule.scale) add("scale", kScales[static_cast<std::size_t>(*rule.scale)]);
  if (rule.grid) add("grid", to_text(*rule.grid));
  if (rule.rounding) add("rounding", to_text(*rule.rounding));
  if (rule.accumulator) add("accumulator", to_text(*rule.accumulator));
  if (rule.transform) add("transform", to_text(*rule.transform));
  return text + '}';
}

std::string toml_of(std::span<const NumericsRule> rules) {
  std::vector<std::string> texts;
  for (const NumericsRule& rule : rules) texts.push_back(toml_of(rule));
  return concat("rule = [", join_words(texts), ']');
}

std::string numerics_of_file(const std::string& path) {
  const std::string text = read_file(path);
  try {
    return toml_of(parse_numerics(text));
  } catch (const ConfigError& error) {
    throw ConfigError(concat("[numerics] ", printable(path), ", ", error.what()));
  }
}

}  // namespace ebb::train
