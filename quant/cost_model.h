#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quant/ledger.h"

namespace ebb {

/// What a multiply-accumulate costs. docs/NUMERICS.md has the formulas, what they are taken from
/// and how far they are to be trusted.
struct CostModel {
  enum class Kind : std::uint8_t {
    bits,        ///< m0: bits of one operand times bits of the other
    multiplier,  ///< m1: full adders of the multiplier alone
    datapath,    ///< m2: those of multiplier, alignment, accumulator and normalisation
    throughput,  ///< m3: time, 1 being a product of 16 bits
  };
  Kind kind = Kind::bits;
  std::int64_t depth = 256;  ///< of datapath: K, products that an exact accumulator has room for
  /// Of throughput: products in the time of one of 16 bits, by a format's name or, with a number as
  /// name, for all formats of up to so many bits. The slower operand counts.
  std::vector<std::pair<std::string, double>> speeds = {
      {"4", 4}, {"8", 2}, {"16", 1}, {"19", 0.5}, {"32", 0.125}};

  /// Reads "bits", "multiplier", "datapath", "datapath(K=4096)", "throughput",
  /// "throughput(4=2,8=1.4,e5m2=1)", which changes the speeds that it names, and their numbers m0
  /// to m3. @throws ConfigError
  static CostModel parse(std::string_view text);

  /// Of one multiply-accumulate. @throws ConfigError if no speed is given for the formats
  [[nodiscard]] double of(Format left, Format right, const Accumulator& accumulator) const;
  /// Without the speeds that throughput has by default.
  [[nodiscard]] std::string short_text() const;
  [[nodiscard]] std::string unit() const;  ///< "bit-operations", "adders", ...
  friend bool operator==(const CostModel&, const CostModel&) = default;
};
std::string to_text(const CostModel& model);

/// What costs are compared with, and what they are counted in.
struct CostBasis {
  SiteFormats reference{};
  CostModel model{};
};

/// The reference, and the model unless it is bits: "8/8/8", "8/8/8 by datapath(K=256)".
std::string to_text(const CostBasis& basis);

/// What the products of a ledger cost; nullopt if the model needs formats that the ledger lacks, as
/// one saved by version 0.1 does.
std::optional<double> cost(const CostLedger& ledger, const CostModel& model);
/// What the same products would cost at the plan's formats and accumulators.
double cost_under(const CostLedger& ledger, const CostModel& model, const PrecisionPlan& plan);

}  // namespace ebb
