#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/plan.h"
#include "schedules/schedule.h"
#include "train/options/groups.h"

namespace ebb::train {

/// An option with the schedule of the formats of some roles.
struct FormatSource {
  std::string option;
  Schedule schedule;
  std::vector<Role> roles;
};

/// The formats of all operands at every iteration, from the options that say them and the groups of
/// their schedules.
class FormatSchedule {
 public:
  /// Every role is in one source. Gradients of a float32 forward product stay float32 too, which is
  /// plain training, unless `gradients_apart`.
  /// @throws ConfigError for what yields no format at some iteration, and for parts of groups that
  /// are for nothing in the model
  FormatSchedule(std::span<const FormatSource> sources, bool gradients_apart, const Totals& totals,
                 std::span<const Site> sites);

  [[nodiscard]] PrecisionPlan at(PrecisionPlan plan, std::int64_t t) const;
  /// Every operand at the widest, or the narrowest, format that it ever has.
  [[nodiscard]] PrecisionPlan widest(PrecisionPlan plan) const {
    return filled(std::move(plan), highest_);
  }
  [[nodiscard]] PrecisionPlan narrowest(PrecisionPlan plan) const {
    return filled(std::move(plan), lowest_);
  }

  /// Whether a site is left to the formats of whatever no part names.
  [[nodiscard]] bool leaves_to_all(const PrecisionPlan& plan, const Site& site) const;
  /// @throws ConfigError where a format is no grid of its style
  void check_grids(const PrecisionPlan& plan) const;

  /// The bound of an option for whatever no part names; null if the option says nothing of that.
  [[nodiscard]] const Bound* common(std::string_view option) const;
  [[nodiscard]] const std::vector<Bound>& bounds() const { return bounds_; }
  /// The option that a bound is of.
  [[nodiscard]] const std::string& option_of(std::size_t bound) const { return options_[bound]; }

 private:
  // A site with formats of its own, as places in bounds_.
  struct Place {
    std::string site;
    std::size_t weight = 0, activation = 0, gradient = 0;
    [[nodiscard]] std::size_t of(Role role) const {
      return role == Role::weight ? weight : role == Role::activation ? activation : gradient;
    }
    void set(Role role, std::size_t bound) {
      (role == Role::weight ? weight : role == Role::activation ? activation : gradient) = bound;
    }
    [[nodiscard]] bool is_like(const Place& other) const {
      return weight == other.weight && activation == other.activation && gradient == other.gradient;
    }
  };

  BoundForMany bind(const FormatSource& source, const Totals& totals,
                    const std::vector<Site>& sites);
  void find_extremes();
  [[nodiscard]] SiteFormats formats_of(const Place& place,
                                       const std::vector<Format>& formats) const;
  [[nodiscard]] PrecisionPlan filled(PrecisionPlan plan, const std::vector<Format>& formats) const;

  bool gradients_apart_;
  bool says_common_ = true;  // that there is something for what no part names
  std::vector<Bound> bounds_;
  std::vector<std::string> options_;      // of each bound
  std::vector<Place> places_;             // the first is of every site without one
  std::vector<Format> lowest_, highest_;  // of each bound
};

}  // namespace ebb::train
