#include "quant/ledger.h"

#include <algorithm>

#include "core/error.h"

namespace ebb {
namespace {

constexpr std::string_view kHeader = "ebb-ledger-3", kHeaderOf01 = "ebb-ledger-2";

/// As the option spells it: records hold the text.
std::string width_text(Format format) {
  return format.kind == Format::Kind::integer ? to_text(std::int64_t{format.width})
                                              : to_text(format);
}

uint128 bits_of(Format format) { return static_cast<uint128>(cost_bits(format)); }

uint128 product_of_bits(const SiteFormats::Pair& pair) {
  require_valid(pair.left);
  require_valid(pair.right);
  return bits_of(pair.left) * bits_of(pair.right);
}

/// A float32 operand has the other one decoded and sums in float32.
Accumulator accumulator_of(const Accumulator& asked, Format left, Format right) {
  if (left.is_fp32() || right.is_fp32() || asked == Accumulator::fp32()) return Accumulator::fp32();
  return resolve(asked, left, right);
}

/// Reads the words of a text one by one.
class Words {
 public:
  explicit Words(const std::string& text) : text_(text), words_(split_at(text, ' ')) {}
  const std::string& next() {
    require<DataError>(at_ < words_.size(), "[ledger] a site's record ends too early: '", text_,
                       "'");
    return words_[at_++];
  }
  uint128 number() { return parse_uint128(next()); }
  [[nodiscard]] std::size_t left() const { return words_.size() - at_; }
  void require_end() const {
    require<DataError>(left() == 0, "[ledger] a site's record has ", left(), " words too many: '",
                       text_, "'");
  }

 private:
  const std::string& text_;
  std::vector<std::string> words_;
  std::size_t at_ = 0;
};

/// A site as version 0.1 wrote it: MACs and bit-operations, and events where there were any.
void read_cells_of_01(Words& words, CostLedger::Row& row) {
  for (CostLedger::Cell& cell : row.cells) {
    cell.macs = words.number();
    cell.bit_ops = words.number();
  }
  if (words.left() == 0) return;
  for (CostLedger::Cell& cell : row.cells) cell.overflow_events = words.number();
}

void read_cells(Words& words, CostLedger::Row& row) {
  for (std::size_t p = 0; p < kProducts; ++p) {
    CostLedger::Cell& cell = row.cells[p];
    cell.macs = words.number();
    cell.bit_ops = words.number();
    cell.overflow_events = words.number();
    cell.scale_bits = words.number();
    uint128 macs = 0, bit_ops = 0;
    for (uint128 left = words.number(); left > 0; --left) {
      CostLedger::Operations each;
      try {
        each.left = Format::parse(words.next());
        each.right = Format::parse(words.next());
        each.accumulator = Accumulator::parse(words.next());
      } catch (const ConfigError& error) {
        throw DataError(concat("[ledger] no products of a site: ", error.what()));
      }
      each.macs = words.number();
      macs += each.macs;
      bit_ops += each.macs * product_of_bits({each.left, each.right});
      row.operations[p].push_back(each);
    }
    require<DataError>(macs <= cell.macs && bit_ops <= cell.bit_ops, "[ledger] the products of ",
                       row.site.name, " have ", macs, " MACs and ", bit_ops,
                       " bit-operations, more than its ", cell.macs, " and ", cell.bit_ops);
  }
}

}  // namespace

SiteFormats parse_cost_reference(std::string_view text) {
  std::vector<Format> formats;
  for (const std::string& part : split_at(text, '/')) {
    if (Format format; find_width(part, format)) formats.push_back(format);
  }
  require<ConfigError>(formats.size() == 3 && std::count(text.begin(), text.end(), '/') == 2,
                       "[cost reference] expected the widths of weights, activations and "
                       "gradients, each 1 to 16 bits or a format, as in ",
                       "8/8/8 or fp32/fp32/fp32; got '", text, "'");
  return {.weight = formats[0], .activation = formats[1], .gradient = formats[2]};
}

std::string cost_reference_text(const SiteFormats& reference) {
  return concat(width_text(reference.weight), '/', width_text(reference.activation), '/',
                width_text(reference.gradient));
}

uint128 parse_uint128(std::string_view text) {
  constexpr uint128 max = ~uint128{0};
  uint128 value = 0;
  bool ok = !text.empty();
  for (const char c : text) {
    const auto digit = static_cast<uint128>(c - '0');
    ok = ok && c >= '0' && c <= '9' && value <= (max - digit) / 10;
    if (!ok) break;
    value = value * 10 + digit;
  }
  require<DataError>(ok, "[ledger] '", text, "' is not a whole number of up to 128 bits");
  return value;
}

uint128 CostLedger::Row::overflow_events() const {
  uint128 events = 0;
  for (const Cell& cell : cells) events += cell.overflow_events;
  return events;
}

uint128 CostLedger::Row::scale_bits() const {
  uint128 bits = 0;
  for (const Cell& cell : cells) bits += cell.scale_bits;
  return bits;
}

CostLedger::Row& CostLedger::row(const Site& site) {
  const auto found = std::find_if(rows_.begin(), rows_.end(),
                                  [&](const Row& row) { return row.site.name == site.name; });
  if (found != rows_.end()) return *found;
  rows_.push_back({.site = {site.name, site.tags}});
  return rows_.back();
}

void CostLedger::charge(const Site& site, Product product, uint128 macs, Format left, Format right,
                        const Accumulator& asked) {
  const uint128 bit_ops = macs * product_of_bits({left, right});
  const Accumulator accumulator = accumulator_of(asked, left, right);
  Row& its_row = row(site);
  Cell& cell = its_row.cells[static_cast<std::size_t>(product)];
  if (macs > 0) {
    std::vector<Operations>& operations = its_row.operations[static_cast<std::size_t>(product)];
    const auto same = std::ranges::find_if(operations, [&](const Operations& each) {
      return each.left == left && each.right == right && each.accumulator == accumulator;
    });
    if (same != operations.end()) {
      same->macs += macs;
    } else {
      operations.push_back({left, right, accumulator, macs});
    }
  }
  for (Cell* counter : {&cell, &total_}) {
    counter->macs += macs;
    counter->bit_ops += bit_ops;
  }
  if (product == Product::forward) open_forward_macs_ += macs;
}

uint128 CostLedger::paper_bits(const SiteFormats& common) {
  const uint128 w = bits_of(common.weight), a = bits_of(common.activation),
                g = bits_of(common.gradient);
  return a * w + g * w + a * g;
}

void CostLedger::close_iteration(const SiteFormats& common) {
  paper_bit_ops_ += open_forward_macs_ * paper_bits(common);
  forward_macs_ += open_forward_macs_;
  open_forward_macs_ = 0;
  ++iterations_;
}

void CostLedger::count_overflow(const Site& site, Product product, uint128 events) {
  if (events == 0) return;
  row(site).cells[static_cast<std::size_t>(product)].overflow_events += events;
  total_.overflow_events += events;
}

void CostLedger::count_scales(const Site& site, Product product, uint128 bits) {
  if (bits == 0) return;
  row(site).cells[static_cast<std::size_t>(product)].scale_bits += bits;
  total_.scale_bits += bits;
}

void CostLedger::charge(const CostLedger& products, const PrecisionPlan& plan,
                        std::uint64_t times) {
  for (const Row& each : products.rows_) {
    const Numerics& numerics = plan.at(each.site);
    for (const Product product : kAllProducts) {
      const uint128 macs = each.cells[static_cast<std::size_t>(product)].macs * times;
      if (macs == 0) continue;
      const auto [left, right] = numerics.formats(product);
      const Accumulator asked = numerics.accumulator(product);
      const bool taken = product < Product::aggregate || asked.is_narrow();  // see aggregate()
      charge(each.site, product, macs, left, right, taken ? asked : Accumulator{});
    }
  }
}

uint128 CostLedger::bit_ops_under(const PrecisionPlan& plan) const {
  CostLedger other;
  other.charge(*this, plan);
  return other.total_bit_ops();
}

std::string CostLedger::save() const {
  std::string text = concat(kHeader, ' ', iterations_, ' ', paper_bit_ops_, ' ', forward_macs_, ' ',
                            open_forward_macs_, ' ', total_.overflow_events);
  for (const Row& row : rows_) {
    text += concat('|', row.site.name, ' ', join_words(row.site.tags, ","));
    for (std::size_t p = 0; p < kProducts; ++p) {
      const Cell& cell = row.cells[p];
      text += concat(' ', cell.macs, ' ', cell.bit_ops, ' ', cell.overflow_events, ' ',
                     cell.scale_bits, ' ', row.operations[p].size());
      std::vector<std::string> each;  // in an order that does not tell when they were first charged
      for (const Operations& o : row.operations[p])
        each.push_back(concat(' ', o.left, ' ', o.right, ' ', o.accumulator, ' ', o.macs));
      std::ranges::sort(each);
      for (const std::string& one : each) text += one;
    }
  }
  return text;
}

CostLedger CostLedger::load(std::string_view text) {
  const auto parts = split_at(text, '|');
  const auto head = parts.empty() ? std::vector<std::string>{} : split_at(parts[0], ' ');
  const bool of_01 = head.size() == 6 && head[0] == kHeaderOf01;
  require<DataError>(of_01 || (head.size() == 6 && head[0] == kHeader),
                     "[ledger] expected a text that starts with '", kHeader, "' or '", kHeaderOf01,
                     "'");
  CostLedger ledger;
  ledger.iterations_ = static_cast<std::uint64_t>(parse_uint128(head[1]));
  ledger.paper_bit_ops_ = parse_uint128(head[2]);
  ledger.forward_macs_ = parse_uint128(head[3]);
  ledger.open_forward_macs_ = parse_uint128(head[4]);
  ledger.total_.overflow_events = parse_uint128(head[5]);
  uint128 located = 0;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    Words words(parts[i]);
    Row row;
    row.site.name = words.next();
    row.site.tags = split_at(words.next(), ',');
    of_01 ? read_cells_of_01(words, row) : read_cells(words, row);
    words.require_end();
    for (const Cell& cell : row.cells) {
      ledger.total_.macs += cell.macs;
      ledger.total_.bit_ops += cell.bit_ops;
      ledger.total_.scale_bits += cell.scale_bits;
      located += cell.overflow_events;
    }
    ledger.rows_.push_back(std::move(row));
  }
  require<DataError>(located <= ledger.total_.overflow_events, "[ledger] the sites count ", located,
                     " overflow events, all of them ", ledger.total_.overflow_events);
  return ledger;
}

}  // namespace ebb
