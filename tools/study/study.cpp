#include "tools/study/study.h"

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <utility>

namespace ebb::study {
namespace {

Place place_of(const toml::source_region& region) {
  return {static_cast<std::int64_t>(region.begin.line),
          static_cast<std::int64_t>(region.begin.column)};
}

std::string kind(const toml::node& node) {
  if (node.is_table()) return "a table";
  if (node.is_array()) return "a list";
  if (node.is_string()) return "a text";
  if (node.is_integer() || node.is_floating_point()) return "a number";
  return node.is_boolean() ? "true or false" : "a date or time";
}

struct Member {
  std::string name;
  const toml::node* value;
  Place place;  // of the name
};

// toml++ keeps the members of a table in the order of their names.
std::vector<Member> in_file_order(const toml::table& table) {
  std::vector<Member> members;
  for (auto&& [key, value] : table)
    members.push_back({std::string(key.str()), &value, place_of(key.source())});
  std::ranges::sort(members, [](const Member& a, const Member& b) {
    return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
  });
  return members;
}

class Reader {
 public:
  explicit Reader(const std::string& path) { study_.path = path; }

  Study read(const toml::table& file) {
    const std::vector<std::string> keys{"name", "program", "out",      "options", "grid",
                                        "runs", "exclude", "baseline", "claims"};
    for (const Member& member : in_file_order(file)) {
      if (member.name == "name")
        study_.name = text(member);
      else if (member.name == "program")
        study_.program = text(member);
      else if (member.name == "out")
        study_.out = text(member);
      else if (member.name == "options")
        study_.options = settings(member);
      else if (member.name == "grid")
        read_grid(member);
      else if (member.name == "runs")
        study_.runs = groups(member);
      else if (member.name == "exclude")
        study_.excluded = groups(member);
      else if (member.name == "baseline")
        study_.baseline = Group{settings(member), member.place};
      else if (member.name == "claims")
        read_claims(member);
      else
        complain(study_, member.place, unknown_word("key", member.name, keys));
    }
    if (study_.program.empty())
      complain(study_, {1, 1}, "expected program = \"ebb-cnn\" or another program of Ebb");
    const std::string stem = std::filesystem::path(study_.path).stem().string();
    if (study_.name.empty()) study_.name = stem;
    if (study_.out.empty()) study_.out = "runs/" + stem;
    while (study_.out.size() > 1 && study_.out.back() == '/') study_.out.pop_back();
    return std::move(study_);
  }

 private:
  std::string text(const Member& member) {
    const auto* value = member.value->as_string();
    if (value == nullptr || value->get().empty())
      complain(study_, member.place, member.name, ": expected a text in quotes, got ",
               value == nullptr ? kind(*member.value) : "none");
    without_nul(value->get(), member);
    return value->get();
  }

  void without_nul(const std::string& value, const Member& member) {
    if (value.find('\0') != std::string::npos)
      complain(study_, place_of(member.value->source()), member.name,
               ": expected a text that a command line can hold, got one with a NUL");
  }

  Setting setting(const Member& member) {
    Setting result{.option = member.name, .text = {}, .place = member.place};
    const toml::node& node = *member.value;
    if (const auto* word = node.as_string()) {
      result.text = word->get();
    } else if (const auto* integer = node.as_integer()) {
      result.text = to_text(integer->get());
    } else if (const auto* real = node.as_floating_point(); real && std::isfinite(real->get())) {
      result.text = to_text(real->get());
    } else if (const auto* flag = node.as_boolean()) {
      result.text = to_text(flag->get());
      result.flag = true;
    } else {
      complain(study_, place_of(node.source()), member.name,
               ": expected a text, a finite number, true or false, got ", kind(node));
    }
    without_nul(result.text, member);
    return result;
  }

  const toml::table& table(const toml::node& node, const Place& place, std::string_view name) {
    if (!node.is_table())
      complain(study_, place, name, ": expected a table of options, got ", kind(node));
    return *node.as_table();
  }

  std::vector<Setting> settings(const Member& member) {
    std::vector<Setting> result;
    for (const Member& each : in_file_order(table(*member.value, member.place, member.name)))
      result.push_back(setting(each));
    return result;
  }

  // The values of an option: one, or those of a list.
  std::vector<Setting> values(const Member& member) {
    const toml::array* list = member.value->as_array();
    if (list == nullptr) return {setting(member)};
    if (list->empty())
      complain(study_, member.place, member.name,
               ": expected a list of its values, such as [1, 2, 3], got an empty one");
    std::vector<Setting> result;
    for (const toml::node& value : *list)
      result.push_back(setting({member.name, &value, place_of(value.source())}));
    return result;
  }

  // One entry of [[runs]] or [[exclude]]: the combinations of its lists, the first turning slowest.
  std::vector<Group> combinations(const Member& member) {
    std::vector<Group> result{{{}, member.place}};
    for (const Member& each : in_file_order(table(*member.value, member.place, member.name))) {
      std::vector<Group> longer;
      for (const Group& group : result) {
        for (const Setting& value : values(each)) {
          longer.push_back(group);
          longer.back().settings.push_back(value);
        }
      }
      require_few(longer.size(), each);
      result = std::move(longer);
    }
    return result;
  }

  void require_few(std::size_t groups, const Member& member) {
    if (groups > 100'000)
      complain(study_, member.place, member.name, ": expected at most 100,000 combinations, got ",
               groups);
  }

  std::vector<Group> groups(const Member& member) {
    const toml::array* list = member.value->as_array();
    if (list == nullptr)
      complain(study_, member.place, member.name, ": expected [[", member.name,
               "]], one for each, got ", kind(*member.value));
    std::vector<Group> result;
    for (const toml::node& node : *list) {
      const Place place = place_of(node.source());
      std::ranges::move(combinations({member.name, &node, place}), std::back_inserter(result));
    }
    return result;
  }

  void read_grid(const Member& member) {
    for (const Member& axis : in_file_order(table(*member.value, member.place, member.name))) {
      if (!axis.value->is_array())
        complain(study_, axis.place, axis.name,
                 ": expected a list of its values, such as [1, 2, 3], got ", kind(*axis.value));
      study_.grid.push_back({axis.name, values(axis), axis.place});
    }
  }

  void read_claims(const Member& member) {
    const toml::array* list = member.value->as_array();
    if (list == nullptr)
      complain(study_, member.place, "claims: expected [[claims]], one for each, got ",
               kind(*member.value));
    const std::vector<std::string> keys{"says", "better", "than"};
    for (const toml::node& node : *list) {
      Hypothesis claim{.place = place_of(node.source())};
      for (const Member& each : in_file_order(table(node, claim.place, "claims"))) {
        if (each.name == "says")
          claim.says = text(each);
        else if (each.name == "better")
          claim.better = {settings(each), each.place};
        else if (each.name == "than")
          claim.than = {settings(each), each.place};
        else
          complain(study_, each.place, unknown_word("key", each.name, keys));
      }
      if (claim.says.empty() || claim.better.settings.empty() || claim.than.settings.empty())
        complain(study_, claim.place,
                 "claims: expected says = \"...\", and better and than, each a table of options");
      study_.claims.push_back(std::move(claim));
    }
  }

  Study study_;
};

}  // namespace

Study parse_study(std::string_view text, const std::string& path) {
  try {
    return Reader(path).read(toml::parse(text, path));
  } catch (const toml::parse_error& error) {
    complain(Study{.path = path}, place_of(error.source()), "no TOML: ", error.description());
  }
}

void set_option(Study& study, const std::string& text) {
  const std::size_t equals = text.find('=');
  require<ConfigError>(equals != std::string::npos && equals > 0,
                       "[command line] --set: expected OPTION=VALUE, such as data=DIR, got '", text,
                       "'");
  Setting setting{.option = text.substr(0, equals), .text = text.substr(equals + 1)};
  setting.flag = setting.text == "true" || setting.text == "false";
  const auto known = std::ranges::find(study.options, setting.option, &Setting::option);
  if (known == study.options.end())
    study.options.push_back(setting);
  else
    *known = setting;
}

void set_seeds(Study& study, std::int64_t n) {
  require<ConfigError>(n >= 1 && n <= 1000, "[study] expected 1 to 1000 seeds, got ", n);
  const auto is_seed = [](const Setting& setting) { return setting.option == "seed"; };
  bool any = false;
  for (Axis& axis : study.grid) {
    if (axis.option != "seed") continue;
    any = true;
    axis.values.assign(static_cast<std::size_t>(n), axis.values[0]);
    for (std::int64_t seed = 1; seed <= n; ++seed)
      axis.values[static_cast<std::size_t>(seed - 1)].text = to_text(seed);
  }
  std::vector<Group> runs;
  for (const Group& group : study.runs) {
    const auto own = std::ranges::find_if(group.settings, is_seed);
    if (own == group.settings.end()) {
      runs.push_back(group);
      continue;
    }
    any = true;
    if (own->text != "1") continue;  // its configuration has one of seed 1
    for (std::int64_t seed = 1; seed <= n; ++seed) {
      runs.push_back(group);
      std::ranges::find_if(runs.back().settings, is_seed)->text = to_text(seed);
    }
  }
  require<ConfigError>(any, "[study] ", study.path, " lists no seeds to replace");
  study.runs = std::move(runs);
}

}  // namespace ebb::study
