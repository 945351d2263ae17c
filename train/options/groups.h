#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "quant/plan.h"
#include "schedules/schedule.h"

namespace ebb::train {

/// Layers that `--keep-fp32` and groups may name in every model, whether it has them or not: first,
/// last, shortcut.
std::span<const std::string> optional_tags();

/// What layers can be called: their names, the dotted beginnings of these, and their tags.
std::vector<std::string> layer_names(std::span<const Site> sites);

/// Adds a name and its dotted beginnings, "stage1" and "stage1.block1" of "stage1.block1.conv1",
/// that are not there yet.
void add_dotted(std::vector<std::string>& names, std::string_view name);

/// Does what a text of an option asks for. @throws ConfigError for another one, with the name of
/// the option
template <class F>
auto naming_option(std::string_view option, const F& f) {
  try {
    return f();
  } catch (const ConfigError& error) {
    throw ConfigError(concat("[command line] --", option, ": ", error.what()));
  }
}

/// Whether a part of a group is for an operand: by the site as Site::matches says ("conv1",
/// "block2", "first"), by the role
/// ("weight"), or by both ("conv1.weight").
bool is_for_operand(std::string_view part, const Site& site, Role role);

/// Whether a part of a group is for a parameter: by its name, a dotted prefix or a dotted end of it
/// ("conv1", "bias"), or by a tag of its site ("first").
bool is_for_parameter(std::string_view part, std::string_view parameter,
                      std::span<const Site> sites);

/// Whether a schedule has a value for a member.
bool binds(const Schedule& schedule, const Totals& totals, const Schedule::Member& member);

/// A schedule bound for many members. Those for whom all groups choose alike share a Bound.
struct BoundForMany {
  std::vector<Bound> bounds;
  std::vector<std::size_t> of;  ///< the place in `bounds` of each member
};

/// @throws ConfigError naming the option for a part that is for none of the members, with the
/// nearest of the `known` names, or that
///         parts behind it always go over; the optional tags may be for none
BoundForMany bind_for(std::string_view option, const Schedule& schedule, const Totals& totals,
                      std::span<const Schedule::Member> members,
                      const std::vector<std::string>& known);

}  // namespace ebb::train
