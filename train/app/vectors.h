#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "layers/observer.h"
#include "quant/accumulator.h"
#include "quant/formats/encoding.h"
#include "quant/plan.h"
#include "quant/product.h"
#include "train/loop.h"
#include "train/options/options.h"

namespace ebb::cli {

/// One product of codes with everything that a second implementation needs to do it again, bit for
/// bit: docs/HARDWARE.md says what each array is and how they belong together.
struct ProductVectors {
  struct Side {
    Format format;
    GridStyle grid = GridStyle::affine;
    std::vector<std::int16_t> codes{};  ///< as stored; 0 where a tap is padded
    std::vector<float> scales{};  ///< one, or one for each row of the left or column of the right
    std::vector<double> zeros{};  ///< the real numbers of the stored code 0, as many
  };
  std::string site;
  Product product = Product::forward;
  std::int64_t index = 0;  ///< among the products of this kind of the site in the step
  std::int64_t m = 0, k = 0, n = 0;
  Side left, right;
  std::vector<std::uint8_t> valid;  ///< [m, k], 0 for a padded tap; empty: all are valid
  std::vector<float> factors;       ///< [m], of sums over neighbours; empty: all are 1
  Accumulator accumulator;
  std::vector<std::int64_t> accumulators;  ///< [m, n], what they hold in the end
  std::vector<float> outputs;              ///< [m, n]
  std::uint64_t overflow_events = 0;
  bool transposed = false;  ///< the layer takes the transpose of the outputs
};

/// Which products of which step are wanted, and where.
struct VectorRequest {
  std::int64_t step = 0;             ///< iteration
  std::string site{};                ///< name, dotted prefix or tag, see Site::matches
  std::optional<Product> product{};  ///< none: all
  std::int64_t index = 0;
  std::string out{};
};
/// What --dump goes with. @throws ConfigError if one of --step, --site and --out is missing
VectorRequest vector_request(const train::Options& options);
/// @throws ConfigError for a step that the run does not have, or a site, naming the nearest
void require_possible(const VectorRequest& request, std::int64_t iterations,
                      std::span<const Site> sites);

/// Collects vectors of the passes of a step that it is shown.
class VectorCollector {
 public:
  explicit VectorCollector(VectorRequest request) : request_(std::move(request)) {}

  /// Refers to this collector.
  /// @throws from within the pass: ConfigError for a product of the request that is not one of
  /// codes, or one too large to be written out
  [[nodiscard]] Observer observer();
  /// @throws ConfigError if the request met nothing, saying what there was
  [[nodiscard]] const std::vector<ProductVectors>& vectors() const;

 private:
  /// Whether the request is for one of `count` products that follow; its number among them.
  std::optional<std::int64_t> wanted(const Multiply& how, std::int64_t count);
  void add(const SeenProducts& seen);
  void add(const SeenSum& seen);

  VectorRequest request_;
  std::map<std::string, std::int64_t> seen_{};  ///< how many, by "SITE PRODUCT"
  std::vector<ProductVectors> vectors_{};
};

/// Trains in memory from where the state is to the step, and writes OUT/SITE.PRODUCT.INDEX/ for
/// each product: every array as .npy and .hex, and manifest.json. Returns the folders, a line each.
/// @throws DataError if one exists or cannot be written; ConfigError as VectorCollector
std::string dump(train::Task task, train::RunState& state, train::LoopSettings settings,
                 const VectorRequest& request, const std::string& program);

}  // namespace ebb::cli
