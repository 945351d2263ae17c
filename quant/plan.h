#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quant/accumulator.h"
#include "quant/formats/encoding.h"
#include "quant/product.h"
#include "quant/transform.h"

namespace ebb {

class Multiplier;

/// A place in a model where matrix products happen, by dotted name: "stage2.block1.conv2".
struct Site {
  std::string name;
  std::vector<std::string>
      tags;               ///< groups that `--keep-fp32` can name: "first", "last", "shortcut"
  std::uint64_t use = 0;  ///< how often the pass had been there before, see Pass::visit

  Site() = default;
  /// A name alone is a site.
  Site(const char* its_name) : name(its_name) {}  // NOLINT(google-explicit-constructor)
  Site(std::string its_name, std::vector<std::string> its_tags = {}, std::uint64_t its_use = 0)
      : name(std::move(its_name)), tags(std::move(its_tags)), use(its_use) {}

  /// True for the site's own name, a dotted prefix of it, or one of its tags.
  [[nodiscard]] bool matches(std::string_view pattern) const;
};

/// An adjacency matrix is binary, so an entry costs one bit.
inline constexpr Format kAdjacency{.kind = Format::Kind::integer,
                                   .width = 1,
                                   .exponent = 0,
                                   .fraction = 0,
                                   .specials = Format::Specials::none,
                                   .bias = 0};

/// The formats of one site.
struct SiteFormats {
  Format weight{}, activation{}, gradient{};

  static constexpr SiteFormats fp32() { return {}; }
  [[nodiscard]] Format of(Role role) const;
  /// The formats of a product's left and right operand: forward is activation x weight, grad_left
  /// gradient x weight, grad_right activation x gradient; aggregate and aggregate_grad are
  /// kAdjacency x activation and x gradient.
  struct Pair {
    Format left, right;
    friend constexpr bool operator==(const Pair&, const Pair&) = default;
  };
  [[nodiscard]] Pair of(Product product) const;
  friend constexpr bool operator==(const SiteFormats&, const SiteFormats&) = default;
};

/// How every operand of a site is encoded, and where the sums of its products live: a row of the
/// table that a PrecisionPlan is. A matrix takes part in two products: weights in forward and
/// grad_left, activations in forward and grad_right, gradients in grad_left and grad_right.
struct Numerics {
  Encoding weight{}, activation{}, gradient{.rounding = Rounding::stochastic};
  /// The encodings of the second product, where they are not those of the first.
  std::optional<Encoding> weight_grad_left{}, activation_grad_right{}, gradient_grad_right{};
  Accumulator forward{}, grad_left{}, grad_right{};
  /// Of both operands of forward, grad_left and grad_right, before they are encoded.
  std::array<Transform, 3> transforms{};

  /// Each sets one thing for all roles or products: Numerics{}.set_formats({k8, k4, k8}).
  Numerics& set_formats(const SiteFormats& formats);
  Numerics& set_grid(GridStyle grid);
  Numerics& set_accumulator(Accumulator accumulator);

  /// Of the first product of each role.
  [[nodiscard]] SiteFormats formats() const;
  [[nodiscard]] const Encoding& encoding(Role role) const;
  /// The encoding of an operand of a product. Sums over neighbours have those of the products of
  /// the same direction.
  [[nodiscard]] const Encoding& encoding(Role role, Product product) const;
  /// Gives an operand of one product an encoding of its own.
  void set_encoding(Role role, Product product, const Encoding& encoding);
  /// Whether the two products of a role encode it differently.
  [[nodiscard]] bool is_split(Role role) const;
  [[nodiscard]] SiteFormats::Pair formats(Product product) const;
  /// The accumulator of a product. Sums over neighbours have those of the products of the same
  /// direction: aggregate has `forward`, aggregate_grad `grad_left`.
  [[nodiscard]] Accumulator accumulator(Product product) const;
  /// What both operands of a product go through; none where one of them has no scale, as bf16 and
  /// float32, and of sums over neighbours.
  [[nodiscard]] Transform transform(Product product) const;
  friend constexpr bool operator==(const Numerics&, const Numerics&) = default;
};

/// The precision of every operand and product of one iteration: a table of Numerics by site. Plain
/// data: a schedule makes a new one for every iteration.
struct PrecisionPlan {
  Numerics base{};  ///< of every site that no rule is for
  struct Rule {
    std::string pattern{};  ///< see Site::matches
    Numerics numerics{};
    bool exact = false;  ///< for the site of this full name alone
    [[nodiscard]] bool is_for(const Site& site) const;
    friend bool operator==(const Rule&, const Rule&) = default;
  };
  std::vector<Rule> rules{};  ///< the last one that is for a site wins
  bool shared = false;    ///< used by several networks, so it may name sites that this one does not
                          ///< have, see require_known_sites
  bool simulate = false;  ///< decode the codes to float32 and multiply those: fake quantization,
                          ///< for comparison with the literature
  /// What multiplies integer codes in place of exact multiplication; none: null.
  std::shared_ptr<const Multiplier> multiplier{};

  /// Every product in float32.
  static PrecisionPlan fp32() { return {}; }
  /// Forward operands (weights and activations) of one format, gradients of another.
  static PrecisionPlan uniform(Format forward, Format gradient);
  /// Adds rules that leave the named sites in float32.
  PrecisionPlan& keep_fp32(const std::vector<std::string>& patterns);

  [[nodiscard]] const Numerics& at(const Site& site) const;
  [[nodiscard]] const Encoding& encoding(const Site& site, Role role) const {
    return at(site).encoding(role);
  }
  [[nodiscard]] const Encoding& encoding(const Site& site, Role role, Product product) const {
    return at(site).encoding(role, product);
  }
};

}  // namespace ebb
