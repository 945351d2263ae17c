#include "tools/study/study.h"

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <initializer_list>
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
    const std::vector<std::string> keys{"name", "program", "out",     "options",
                                        "grid", "runs",    "exclude", "baseline"};
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

  std::vector<Group> groups(const Member& member) {
    const toml::array* list = member.value->as_array();
    if (list == nullptr)
      complain(study_, member.place, member.name, ": expected [[", member.name,
               "]], one for each, got ", kind(*member.value));
    std::vector<Group> result;
    for (const toml::node& node : *list) {
      const Place place = place_of(node.source());
      result.push_back({settings({member.name, &node, place}), place});
    }
    return result;
  }

  void read_grid(const Member& member) {
    for (const Member& axis : in_file_order(table(*member.value, member.place, member.name))) {
      const toml::array* list = axis.value->as_array();
      if (list == nullptr || list->empty())
        complain(study_, axis.place, axis.name,
                 ": expected a list of its values, such as [1, 2, 3], got ",
                 list == nullptr ? kind(*axis.value) : "an empty one");
      study_.grid.push_back({axis.name, {}, axis.place});
      for (const toml::node& value : *list)
        study_.grid.back().values.push_back(setting({axis.name, &value, place_of(value.source())}));
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

}  // namespace ebb::study
