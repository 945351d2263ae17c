#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/plan.h"
#include "schedules/schedule.h"
#include "train/options/groups.h"
#include "train/options/numerics.h"

namespace ebb::train {

/// An option with the schedule of the formats of some roles.
struct FormatSource {
  std::string option;
  Schedule schedule;
  std::vector<Role> roles;
};

/// The formats of all operands at every iteration, from the options that say them, the groups of
/// their schedules, and the rules of --numerics, which go over these; and what else the rules say.
class FormatSchedule {
 public:
  /// Every role is in one source. Gradients of a float32 forward product stay float32 too, which is
  /// plain training, unless `gradients_apart`.
  /// @throws ConfigError for what yields no format at some iteration, for parts of groups that are
  /// for nothing in the model, and for rules that are for no site but `kept` ones, which stay
  /// float32, that contradict each other, or have no effect
  FormatSchedule(std::span<const FormatSource> sources, bool gradients_apart, const Totals& totals,
                 std::span<const Site> sites, std::vector<NumericsRule> rules = {},
                 const std::vector<std::string>& kept = {});

  [[nodiscard]] PrecisionPlan at(PrecisionPlan plan, std::int64_t t) const;
  /// Every operand at the widest, or the narrowest, format that it ever has.
  [[nodiscard]] PrecisionPlan widest(PrecisionPlan plan) const {
    return filled(std::move(plan), highest_);
  }
  [[nodiscard]] PrecisionPlan narrowest(PrecisionPlan plan) const {
    return filled(std::move(plan), lowest_);
  }
  /// Every site at these formats, with what the rules say besides formats.
  [[nodiscard]] PrecisionPlan with_formats(PrecisionPlan plan, const SiteFormats& formats) const;

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
  using Operands = std::array<std::size_t, std::size(kProductOperands)>;
  // A site with numerics of its own, each by kProductOperands: places in bounds_ and in rules_.
  struct Place {
    Site site;
    Operands bounds{};
    Operands format_rules{}, scale_rules{}, grid_rules{}, rounding_rules{};
    std::array<std::size_t, kProducts> accumulator_rules{}, transform_rules{};

    explicit Place(Site its_site);
    [[nodiscard]] bool is_like(const Place& other) const;
  };

  BoundForMany bind(const FormatSource& source, const Totals& totals,
                    const std::vector<Site>& sites);
  void bind_rules(const Totals& totals);
  void place_rules(Place& place, class RuleChoice& choice) const;
  void check_scales() const;
  void find_extremes();
  [[nodiscard]] Format format_at(const Place& place, std::size_t operand,
                                 const std::vector<Format>& formats) const;
  [[nodiscard]] Numerics numerics_at(const Place& place, Numerics numerics,
                                     const std::vector<Format>& formats) const;
  [[nodiscard]] PrecisionPlan filled(PrecisionPlan plan, const std::vector<Format>& formats) const;

  bool gradients_apart_;
  bool says_common_ = true;  // that there is something for what no part names
  std::vector<Bound> bounds_;
  std::vector<std::string> options_;  // of each bound
  std::vector<NumericsRule> rules_;
  std::vector<std::size_t> rule_bounds_;  // of each rule's format
  std::vector<Place> places_;             // the first is of every site without one
  std::vector<Format> lowest_, highest_;  // of each bound
};

}  // namespace ebb::train
