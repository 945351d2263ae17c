
#include <omp.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "quant/kernels/dense/packing.h"
#include "quant/kernels/epilogue/epilogue.h"
#include "quant/kernels/packed_cache.h"
#include "quant/kernels/registry.h"

// Products of integer codes on packed tiles, in two shapes. `ByRows` packs b once and lets threads
// take blocks of rows of a, of few rows also of columns; `ByDepth` cuts a long contraction
// (grad_right) into chunks, packs both sides chunk by chunk, and adds the chunks' exact sums. Sums
// are integers, so the order in which threads finish cannot matter. Row sums of a come from what
// was just packed, column sums of b from its panels.
namespace ebb::kernels {
namespace {

constexpr std::int64_t kChunk = 1024;    ///< k of a ByDepth chunk
constexpr std::int64_t kBlockUnit = 48;  ///< rows: a multiple of all tiles
constexpr std::int64_t kLastRows = 12;   ///< of the smallest blocks, which come last
constexpr std::int64_t kTileColumns = 16 * kTilePanels;  ///< columns that are packed together

/// A packed b: its parts one after the other, each as panels of `groups` groups.
struct Packed {
  std::int64_t groups, panels;
  Aligned<std::uint8_t> bytes;

  Packed(const TileMicrokernel& micro, std::int64_t k, std::int64_t n, std::size_t parts)
      : groups((k * micro.code_bytes + 3) / 4),
        panels(round_up(n, 16) / 16),
        bytes(static_cast<std::size_t>(round_up(panels, kTilePanels) * groups * 64) * parts) {}
  [[nodiscard]] std::int64_t panel_bytes() const { return groups * 64; }
  [[nodiscard]] std::uint8_t* panel(std::size_t part, std::int64_t at) {
    return bytes.data() + (static_cast<std::int64_t>(part) * panels + at) * panel_bytes();
  }
  [[nodiscard]] TileRight right(std::size_t part, std::int64_t at, std::int64_t group,
                                std::int64_t count) const {
    return {
        bytes.data() + (static_cast<std::int64_t>(part) * panels + at) * panel_bytes() + 64 * group,
        panel_bytes(), count};
  }
};

/// A packed b and the sums of its columns.
struct RightSide {
  Packed codes;
  std::vector<std::int64_t> column_sums;
};

/// Groups first .. first + count of a packed contraction.
struct Groups {
  std::int64_t first, count;
};

/// Adds the whole sums of rows x panels over groups of `right`, the first of which meets the first
/// of `left`, to c: run by run and part by part.
void accumulate(const TileMicrokernel& micro, const KSplit& k_split, const TileLeft& left,
                const Packed& right, const Groups& groups, std::int64_t panel, std::int64_t rows,
                int count, std::int64_t* c, std::int64_t ldc) {
  const std::int64_t run = k_split.run(groups.count);
  for (std::size_t part = 0; part < k_split.parts.size(); ++part) {
    for (std::int64_t g = 0; g < groups.count; g += run) {
      const TileLeft at{left.data + g * left.group, left.row, left.group};
      micro.accumulate(at,
                       right.right(part, panel, groups.first + g, std::min(run, groups.count - g)),
                       rows, count, KSplit::shift(k_split.parts[part]), c, ldc);
    }
  }
}

/// Takes the bias of b's codes out of a row's sums: it has added 128 times the row's own sum.
std::span<std::int64_t> without_bias(std::span<std::int64_t> sums, std::int64_t row_sum,
                                     const TileMicrokernel& micro) {
  for (std::int64_t& sum : sums) sum -= micro.bias * row_sum;
  return sums;
}

/// Sums of b's columns from its packed panels.
std::vector<std::int64_t> unbiased(std::vector<std::int64_t> sums, std::int64_t n, std::int64_t k,
                                   const TileMicrokernel& micro) {
  sums.resize(static_cast<std::size_t>(n));
  for (std::int64_t& sum : sums) sum -= micro.bias * k;
  return sums;
}

/// The sum of body(task, scratch) over all tasks, with a scratch for each thread. A single thread
/// opens no region: inside another that costs as much as a small product.
template <class Scratch, class Body>
std::uint64_t share_out(int threads, std::int64_t tasks, const Body& body) {
  std::uint64_t sum = 0;
  if (threads == 1) {
    Scratch scratch;
    for (std::int64_t task = 0; task < tasks; ++task) sum += body(task, scratch);
    return sum;
  }
#pragma omp parallel reduction(+ : sum) num_threads(threads)
  {
    Scratch scratch;
#pragma omp for schedule(dynamic) nowait
    for (std::int64_t task = 0; task < tasks; ++task) sum += body(task, scratch);
  }
  return sum;
}

class ByRows {
 public:
  ByRows(const Problem& p, const TileMicrokernel& micro)
      : p_(p), micro_(micro), k_split_(p, micro) {}

  std::uint64_t run() {
    const std::shared_ptr<const RightSide> right = kept_or_packed();
    right_ = &right->codes;
    const Strip whole{0, p_.m(), 0, p_.k(), p_.n()};
    std::optional<Epilogue> epilogue;
    std::uint64_t events = 0;
    for (const Strip& strip : p_.strips.empty() ? std::span(&whole, 1) : p_.strips) {
      const bool same_k =
          epilogue && strip.k_first == strip_.k_first && strip.k_last == strip_.k_last;
      strip_ = strip;
      groups_.first = strip.k_first * micro_.code_bytes / 4;
      groups_.count = (strip.k_last * micro_.code_bytes + 3) / 4 - groups_.first;
      if (!same_k) epilogue.emplace(p_, row_classes(*right));
      events += run_strip(*epilogue);
    }
    return events;
  }

 private:
  struct Scratch {
    PackBuffers buffers;
    std::vector<std::int32_t> row_sums;   ///< of a block
    std::vector<std::int64_t> wide_sums;  ///< the same where they may not fit
    std::vector<const double*> constant;  ///< of a block
    std::vector<double> table;
    std::vector<float> turned;  ///< a tile's results, where they are stored transposed
  };

  /// That a product of this size is worth.
  [[nodiscard]] int threads() const {
    return p_.m() * p_.n() * p_.k() > (1 << 15) && omp_in_parallel() == 0 ? omp_get_max_threads()
                                                                          : 1;
  }

  /// Rows first .. first + count against panels panel .. end.
  struct Block {
    std::int64_t first, count, panel, end;
  };

  std::uint64_t run_strip(const Epilogue& epilogue) const {
    const std::vector<Block> blocks = blocks_of_strip();
    return share_out<Scratch>(threads(), static_cast<std::int64_t>(blocks.size()),
                              [&](std::int64_t i, Scratch& scratch) {
                                return rows(epilogue, blocks[static_cast<std::size_t>(i)], scratch);
                              });
  }

  /// Blocks of rows that stay in cache. For several threads they become smaller towards the end, so
  /// that none waits long for the last one; where there are few, as in a recurrent network's step,
  /// they are of equal shares and cut by columns too.
  [[nodiscard]] std::vector<Block> blocks_of_strip() const {
    const std::int64_t most =
        std::clamp(round_up(kBlockBytes / (strip_.k() * micro_.code_bytes), kBlockUnit), kBlockUnit,
                   4 * kBlockUnit);
    const std::int64_t all = strip_.rows, panels = round_up(strip_.cols, 16) / 16,
                       tiles = round_up(panels, kTilePanels) / kTilePanels;
    const std::int64_t count = (all + most - 1) / most, sharers = threads();
    const bool few = count < 4 * sharers;
    const std::int64_t cuts =
        few && sharers > 1
            ? std::clamp(std::max(2 * sharers / count, sharers), std::int64_t{1}, tiles)
            : 1;
    const std::int64_t cut = round_up((panels + cuts - 1) / cuts, kTilePanels);
    std::vector<Block> blocks;
    for (std::int64_t row = 0, rows = 0; row < all; row += rows) {
      rows = few || sharers == 1
                 ? most
                 : std::clamp(round_up((all - row) / (4 * sharers), kLastRows), kLastRows, most);
      rows = std::min(rows, all - row);
      for (std::int64_t panel = 0; panel < panels; panel += cut)
        blocks.push_back({strip_.first + row, rows, panel, std::min(panel + cut, panels)});
    }
    return blocks;
  }

  /// With the sums of the codes of b's columns that the strip contracts.
  [[nodiscard]] RowClasses row_classes(const RightSide& right) const {
    if (p_.a.codes().patches) return RowClasses::of(p_.a.codes(), p_.b.codes());
    if (strip_.k() == p_.k()) return RowClasses::one(strip_.k(), right.column_sums);
    std::vector<std::int64_t> sums(static_cast<std::size_t>(16 * right.codes.panels));
    for (std::int64_t panel = 0; panel < right.codes.panels; panel += kTilePanels)
      sum_columns(right.codes, panel,
                  std::min<std::int64_t>(kTilePanels, right.codes.panels - panel), groups_,
                  sums.data() + 16 * panel);
    return RowClasses::one(strip_.k(), unbiased(std::move(sums), p_.n(), strip_.k(), micro_));
  }

  /// Adds the sums of the columns of a few packed panels.
  void sum_columns(const Packed& codes, std::int64_t panel, std::int64_t panels,
                   const Groups& groups, std::int64_t* out) const {
    for (std::size_t part = 0; part < k_split_.parts.size(); ++part) {
      std::int64_t sums[kTileColumns] = {};
      for (std::int64_t g = 0; g < groups.count; g += k_split_.groups)
        add_column_sums(
            micro_,
            codes.right(part, panel, groups.first + g, std::min(k_split_.groups, groups.count - g)),
            panels, sums);
      for (std::int64_t j = 0; j < 16 * panels; ++j)
        out[j] += sums[j] << KSplit::shift(k_split_.parts[part]);
    }
  }

  std::shared_ptr<const RightSide> kept_or_packed() const {
    PackedCache* const packed_cache = p_.b.packed_cache();
    const PackedCache::Key key{&micro_, k_split_.parts.size()};
    if (packed_cache != nullptr) {
      if (auto known = packed_cache->find<RightSide>(key)) return known;
    }
    const auto right =
        std::make_shared<RightSide>(RightSide{{micro_, p_.k(), p_.n(), k_split_.parts.size()}, {}});
    right->column_sums.resize(static_cast<std::size_t>(16 * right->codes.panels));
    share_out<PackBuffers>(threads(), (p_.n() + kTileColumns - 1) / kTileColumns,
                           [&](std::int64_t task, PackBuffers& buffers) {
                             pack(task * kTileColumns, *right, buffers);
                             return std::uint64_t{0};
                           });
    right->column_sums = unbiased(std::move(right->column_sums), p_.n(), p_.k(), micro_);
    if (packed_cache != nullptr) packed_cache->keep(key, right);
    return right;
  }

  void pack(std::int64_t col, RightSide& right, PackBuffers& buffers) const {
    Packed& codes = right.codes;
    const std::int64_t cols = std::min(kTileColumns, p_.n() - col), panel = col / 16,
                       panels = round_up(cols, 16) / 16;
    for (std::size_t part = 0; part < k_split_.parts.size(); ++part) {
      pack_right(p_.b.codes(), col, cols, 0, p_.k(), k_split_.parts[part], micro_, buffers,
                 codes.panel(part, panel), codes.panel_bytes());
    }
    sum_columns(codes, panel, panels, {0, codes.groups}, right.column_sums.data() + col);
  }

  struct Place {
    std::int64_t block, row, rows, panel;
    int panels;
  };

  std::uint64_t rows(const Epilogue& epilogue, const Block& block, Scratch& scratch) const {
    const auto [first, count, first_panel, end] = block;
    const TileLeft left = pack_left(p_.a.codes(), first, count, strip_.k_first, strip_.k(), micro_,
                                    false, scratch.buffers);
    const bool narrow = groups_.count <= k_split_.groups && k_split_.parts.size() == 1;
    const auto size = static_cast<std::size_t>(count);
    if (narrow) {
      scratch.row_sums.resize(size);
      micro_.sum_rows(left, count, strip_.k(), scratch.row_sums.data());
      scratch.constant.resize(size);
    } else {
      scratch.wide_sums.assign(size, 0);
      add_row_sums(micro_, left, count, strip_.k(), scratch.wide_sums.data());
    }
    std::uint64_t events = 0;
    for (std::int64_t panel = first_panel; panel < end; panel += kTilePanels) {
      const int panels = static_cast<int>(std::min<std::int64_t>(kTilePanels, end - panel));
      // Rows of their own grids have coefficients of their own, for a few tiles at a time.
      const std::int64_t unit = !narrow                   ? micro_.rows[panels]
                                : epilogue.one_row_grid() ? count
                                                          : 4 * micro_.rows[panels];
      for (std::int64_t i = 0; i < count; i += unit) {
        const Place place{first, i, std::min(unit, count - i), panel, panels};
        const TileLeft at{left.data + i * left.row, left.row, left.group};
        events += narrow ? narrow_tile(epilogue, at, place, scratch)
                         : wide_tile(epilogue, at, place, scratch);
      }
    }
    return events;
  }

  /// Sums that fit an int32 go from registers to results.
  std::uint64_t narrow_tile(const Epilogue& epilogue, const TileLeft& left, const Place& at,
                            Scratch& scratch) const {
    const std::int64_t first = at.block + at.row, col = 16 * at.panel,
                       cols = std::min<std::int64_t>(16 * at.panels, strip_.cols - col);
    const std::span constant(scratch.constant.data() + at.row, static_cast<std::size_t>(at.rows));
    const Epilogue::Rows rows =
        epilogue.rows(first, col, cols, constant, scratch.table, micro_.coefficients);
    TileTarget to{rows.scale_ab,
                  rows.zero_b,
                  rows.stride,
                  constant.data(),
                  scratch.row_sums.data() + at.row,
                  nullptr,
                  p_.out.row_stride,
                  p_.bias};
    const int wrap_bits = p_.accumulator.kind == Accumulator::Kind::wrap && p_.accumulator.bits < 32
                              ? p_.accumulator.bits
                              : 0;
    const TileRight right = right_->right(0, at.panel, groups_.first, groups_.count);
    if (!p_.transposed_out) {
      to.out = &p_.c(first, 0);
      return micro_.product(left, right, at.rows, at.panels, to, col, cols, wrap_bits);
    }
    std::vector<float>& turned = scratch.turned;
    to.ld = 16 * right_->panels;
    turned.resize(static_cast<std::size_t>(at.rows * to.ld));
    to.out = turned.data();
    const std::uint64_t events =
        micro_.product(left, right, at.rows, at.panels, to, col, cols, wrap_bits);
    for (std::int64_t j = col; j < col + cols; ++j) {
      for (std::int64_t r = 0; r < at.rows; ++r)
        p_.c(first + r, j) = turned[static_cast<std::size_t>(r * to.ld + j)];
    }
    return events;
  }

  std::uint64_t wide_tile(const Epilogue& epilogue, const TileLeft& left, const Place& at,
                          Scratch& scratch) const {
    const std::int64_t col = 16 * at.panel,
                       cols = std::min<std::int64_t>(16 * at.panels, strip_.cols - col);
    std::int64_t wide[kTileRows * kTileColumns];
    std::fill_n(wide, at.rows * kTileColumns, 0);
    accumulate(micro_, k_split_, left, *right_, groups_, at.panel, at.rows, at.panels, wide,
               kTileColumns);
    std::uint64_t events = 0;
    for (std::int64_t r = 0; r < at.rows; ++r) {
      const std::int64_t row_sum = scratch.wide_sums[static_cast<std::size_t>(at.row + r)];
      const std::span sums(wide + r * kTileColumns, static_cast<std::size_t>(cols));
      events += epilogue.finish(at.block + at.row + r, col, without_bias(sums, row_sum, micro_),
                                row_sum, scratch.table);
    }
    return events;
  }

  const Problem& p_;
  const TileMicrokernel& micro_;
  KSplit k_split_;
  const Packed* right_ = nullptr;
  Strip strip_{};    ///< the one at hand, all of the product if it has none
  Groups groups_{};  ///< of the strip
};

/// One thread's share of a ByDepth product.
class DepthShare {
 public:
  DepthShare(const Problem& p, const TileMicrokernel& micro, const KSplit& k_split)
      : p_(p),
        micro_(micro),
        k_split_(k_split),
        n16_(round_up(p.n(), 16)),
        sums(static_cast<std::size_t>(p.m() * n16_), 0),
        row_sums(static_cast<std::size_t>(p.m()), 0),
        column_sums(static_cast<std::size_t>(n16_), 0) {}

  void add_chunk(std::int64_t first) {
    const std::int64_t k = std::min(kChunk, p_.k() - first);
    const TileLeft left = pack_left(p_.a.codes(), 0, p_.m(), first, k, micro_, true, buffers_);
    add_row_sums(micro_, left, p_.m(), k, row_sums.data());
    Packed right(micro_, k, p_.n(), k_split_.parts.size());
    for (std::size_t part = 0; part < k_split_.parts.size(); ++part) {
      pack_right(p_.b.codes(), 0, p_.n(), first, k, k_split_.parts[part], micro_, right_buffers_,
                 right.panel(part, 0), right.panel_bytes());
      std::vector<std::int64_t> part_sums(column_sums.size(), 0);
      add_column_sums(micro_, right.right(part, 0, 0, right.groups), right.panels,
                      part_sums.data());
      for (std::size_t j = 0; j < part_sums.size(); ++j)
        column_sums[j] += part_sums[j] << KSplit::shift(k_split_.parts[part]);
    }
    for (std::int64_t panel = 0; panel < right.panels; panel += kTilePanels) {
      const int panels =
          static_cast<int>(std::min<std::int64_t>(kTilePanels, right.panels - panel));
      for (std::int64_t i = 0; i < p_.m(); i += micro_.rows[panels]) {
        const int rows = static_cast<int>(std::min<std::int64_t>(micro_.rows[panels], p_.m() - i));
        accumulate(micro_, k_split_, {left.data + i * left.row, left.row, left.group}, right,
                   {0, right.groups}, panel, rows, panels, sums.data() + i * n16_ + 16 * panel,
                   n16_);
      }
    }
  }

  /// Adds another thread's share.
  void add(const DepthShare& other) {
    const auto add_all = [](std::vector<std::int64_t>& to, const std::vector<std::int64_t>& from) {
      for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
    };
    add_all(sums, other.sums);
    add_all(row_sums, other.row_sums);
    add_all(column_sums, other.column_sums);
  }

 private:
  const Problem& p_;
  const TileMicrokernel& micro_;
  const KSplit& k_split_;
  std::int64_t n16_;
  PackBuffers buffers_, right_buffers_;

 public:
  std::vector<std::int64_t> sums, row_sums, column_sums;
};

std::uint64_t by_depth(const Problem& p, const TileMicrokernel& micro) {
  const KSplit k_split(p, micro);
  DepthShare all(p, micro, k_split);
#pragma omp parallel if (p.k() > kChunk)
  {
    DepthShare share(p, micro, k_split);
#pragma omp for schedule(dynamic) nowait
    for (std::int64_t first = 0; first < p.k(); first += kChunk) share.add_chunk(first);
#pragma omp critical
    all.add(share);
  }
  const Epilogue epilogue(
      p, p.a.codes().patches
             ? RowClasses::of(p.a.codes(), p.b.codes())
             : RowClasses::one(p.k(), unbiased(std::move(all.column_sums), p.n(), p.k(), micro)));
  std::uint64_t events = 0;
  std::vector<double> scratch;
  const std::int64_t n16 = round_up(p.n(), 16);
  for (std::int64_t i = 0; i < p.m(); ++i) {
    const std::int64_t row_sum = all.row_sums[static_cast<std::size_t>(i)];
    const std::span sums(all.sums.data() + i * n16, static_cast<std::size_t>(p.n()));
    events += epilogue.finish(i, 0, without_bias(sums, row_sum, micro), row_sum, scratch);
  }
  return events;
}

}  // namespace

bool codes_apply(const Problem& p) {
  const auto has_unit_stride = [](const CodeMatrix& x) {
    return x.patches || x.row_stride == 1 || x.col_stride == 1;
  };
  return p.linear() && p.accumulator.kind != Accumulator::Kind::saturate &&
         has_unit_stride(p.a.codes()) && has_unit_stride(p.b.codes()) && p.m() > 0 && p.n() > 0 &&
         p.k() > 0;
}

std::uint64_t multiply_codes(const Problem& p, const TileMicrokernel& micro) {
  const bool must = p.a.codes().patches && p.a.codes().patches_transposed;
  const bool deep = p.strips.empty() && p.k() >= 4 * kChunk && p.m() * p.n() <= 1 << 16;
  return must || deep ? by_depth(p, micro) : ByRows(p, micro).run();
}

}  // namespace ebb::kernels
