#include "train/options/groups.h"

#include <algorithm>
#include <map>
#include <set>

namespace ebb::train {

std::span<const std::string> optional_tags() {
  static const std::vector<std::string> tags{"first", "last", "shortcut"};
  return tags;
}

void add_dotted(std::vector<std::string>& names, std::string_view name) {
  for (std::size_t dot = name.find('.'); !name.empty(); dot = name.find('.', dot + 1)) {
    const std::string_view beginning = name.substr(0, dot);
    if (std::ranges::find(names, beginning) == names.end()) names.emplace_back(beginning);
    if (dot == std::string_view::npos) return;
  }
}

std::vector<std::string> layer_names(std::span<const Site> sites) {
  std::vector<std::string> names;
  for (const Site& site : sites) {
    add_dotted(names, site.name);
    for (const std::string& tag : site.tags) {
      if (std::ranges::find(names, tag) == names.end()) names.push_back(tag);
    }
  }
  return names;
}

bool is_for_operand(std::string_view part, const Site& site, Role role) {
  const std::string end = to_text(role);
  if (part == end || site.matches(part)) return true;
  return part.ends_with("." + end) && site.matches(part.substr(0, part.size() - end.size() - 1));
}

bool is_for_parameter(std::string_view part, std::string_view parameter,
                      std::span<const Site> sites) {
  if (Site{std::string(parameter), {}}.matches(part) ||
      parameter.ends_with("." + std::string(part)))
    return true;
  return std::ranges::any_of(sites, [&](const Site& site) {
    return parameter.starts_with(site.name + ".") &&
           std::ranges::find(site.tags, part) != site.tags.end();
  });
}

BoundForMany bind_for(std::string_view option, const Schedule& schedule, const Totals& totals,
                      std::span<const Schedule::Member> members,
                      const std::vector<std::string>& known) {
  BoundForMany result;
  std::map<std::string, std::size_t> places;  // by the answers that led there
  std::set<std::string, std::less<>> used;
  for (const Schedule::Member& member : members) {
    std::string answers;
    const Schedule::Member asked{member.name, [&](std::string_view part) {
                                   const bool yes = member.is(part);
                                   answers += yes ? 'y' : 'n';
                                   if (yes) used.emplace(part);
                                   return yes;
                                 }};
    Bound bound = naming_option(option, [&] { return schedule.bind(totals, {}, asked); });
    const auto [place, is_new] = places.emplace(answers, result.bounds.size());
    if (is_new) result.bounds.push_back(std::move(bound));
    result.of.push_back(place->second);
  }
  for (const std::string& part : schedule.group_names()) {
    if (used.contains(part)) continue;
    const bool any = std::ranges::any_of(
        members, [&](const Schedule::Member& member) { return member.is(part); });
    require<ConfigError>(!any, "[command line] --", option, ": the part '", part,
                         "' of group{...} has no effect: the last part that matches counts, and "
                         "all that '",
                         part,
                         "' matches is matched by later parts too; move it "
                         "behind them");
    if (std::ranges::find(optional_tags(), part) != optional_tags().end()) continue;
    throw ConfigError(
        concat("[command line] --", option, ": ", unknown_word("name in group{...}", part, known)));
  }
  return result;
}

bool binds(const Schedule& schedule, const Totals& totals, const Schedule::Member& member) {
  try {
    static_cast<void>(schedule.bind(totals, {}, member));
    return true;
  } catch (const ConfigError&) {
    return false;
  }
}

}  // namespace ebb::train
