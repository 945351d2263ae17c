#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/text.h"
#include "quant/plan.h"

namespace ebb {

/// Counts the bit-operations that products stand for: gemm charges every product macs x bits(left)
/// x bits(right), where a float32 operand counts 32 bits; aggregate charges one bit x bits for
/// every element added. All counters are 128 bits wide, so no run overflows them.
class CostLedger {
 public:
  struct Cell {
    uint128 macs = 0, bit_ops = 0;
    uint128 overflow_events = 0;  ///< of narrow accumulators
    uint128 scale_bits = 0;       ///< of block formats: their scales, each counted once a product
    friend bool operator==(const Cell&, const Cell&) = default;
  };
  /// MACs of two formats whose sums live in one accumulator, as resolve() has it: what every cost
  /// model counts from.
  struct Operations {
    Format left{}, right{};
    Accumulator accumulator{};
    uint128 macs = 0;
  };
  /// What one site was charged, by product.
  struct Row {
    Site site;
    std::array<Cell, kProducts> cells{};
    /// Those of each cell. A ledger saved by version 0.1 has MACs of which they are not known.
    std::array<std::vector<Operations>, kProducts> operations{};
    [[nodiscard]] uint128 overflow_events() const;  ///< of all products
    [[nodiscard]] uint128 scale_bits() const;
  };

  /// Adds one product, with `asked` as its accumulator. Sites keep the order of their first charge.
  void charge(const Site& site, Product product, uint128 macs, Format left, Format right,
              const Accumulator& asked = {});
  /// The same of the products of another ledger, `times` over, as a plan has their sites.
  void charge(const CostLedger& products, const PrecisionPlan& plan, std::uint64_t times = 1);
  /// Counts events of narrow accumulators in a product (see gemm).
  void count_overflow(const Site& site, Product product, uint128 events);
  /// Counts the scales of a product's operands.
  void count_scales(const Site& site, Product product, uint128 bits);

  /// Closes an iteration: the forward MACs charged since the last call are charged again as the
  /// papers do, with the whole model's MACs x paper_bits(common), whatever each layer really used.
  /// `common` are the plan's formats for sites that it does not name.
  void close_iteration(const SiteFormats& common);
  void close_iteration(Format forward, Format gradient) {
    close_iteration({forward, forward, gradient});
  }
  /// Bit-operations of one training step for each forward MAC in the papers' accounting: a w + g w
  /// + a g for weights, activations and gradients of w, a and g bits, which is their q^2 + 2 q g
  /// where w = a = q.
  [[nodiscard]] static uint128 paper_bits(const SiteFormats& common);

  [[nodiscard]] uint128 total_bit_ops() const { return total_.bit_ops; }
  [[nodiscard]] uint128 total_macs() const { return total_.macs; }
  [[nodiscard]] uint128 paper_bit_ops() const { return paper_bit_ops_; }
  [[nodiscard]] uint128 forward_macs() const { return forward_macs_; }
  /// All of them: those of the rows, and those that a ledger saved by version 0.1 counted without
  /// saying where.
  [[nodiscard]] uint128 overflow_events() const { return total_.overflow_events; }
  [[nodiscard]] uint128 scale_bits() const { return total_.scale_bits; }
  [[nodiscard]] std::uint64_t iterations() const { return iterations_; }
  [[nodiscard]] const std::vector<Row>& rows() const { return rows_; }

  /// What the same products would have cost under another plan.
  [[nodiscard]] uint128 bit_ops_under(const PrecisionPlan& plan) const;

  /// The papers' presentations of a number of bit operations.
  static double giga_bit_ops(uint128 bit_ops) { return static_cast<double>(bit_ops) / 1e9; }
  static double effective_flops(uint128 bit_ops) {
    return static_cast<double>(bit_ops) / (32.0 * 32.0);
  }

  /// Everything as one line of text, and back; version 0.1's is read too.
  /// @throws DataError for a text that is not a ledger
  [[nodiscard]] std::string save() const;
  static CostLedger load(std::string_view text);
  friend bool operator==(const CostLedger& a, const CostLedger& b) { return a.save() == b.save(); }

 private:
  Row& row(const Site& site);

  std::vector<Row> rows_;
  Cell total_;
  uint128 paper_bit_ops_ = 0, forward_macs_ = 0, open_forward_macs_ = 0;
  std::uint64_t iterations_ = 0;
};

/// The widths that costs are compared with, "weights/activations/gradients": "8/8/8", "4/8/16",
/// "fp32/fp32/fp32"; 8 is int8.
/// @throws ConfigError for a text that is not three widths of 1 to 16 bits or formats
SiteFormats parse_cost_reference(std::string_view text);
std::string cost_reference_text(const SiteFormats& reference);

/// Reads a decimal of up to 128 bits. @throws DataError
uint128 parse_uint128(std::string_view text);

}  // namespace ebb
