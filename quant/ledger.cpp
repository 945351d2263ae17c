#include "quant/ledger.h"

#include <algorithm>

#include "core/error.h"

namespace ebb {
namespace {

constexpr std::string_view kHeader = "ebb-ledger-2";

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

CostLedger::Row& CostLedger::row(const Site& site) {
  const auto found = std::find_if(rows_.begin(), rows_.end(),
                                  [&](const Row& row) { return row.site.name == site.name; });
  if (found != rows_.end()) return *found;
  rows_.push_back({{site.name, site.tags}, {}});
  return rows_.back();
}

void CostLedger::charge(const Site& site, Product product, uint128 macs, Format left,
                        Format right) {
  const uint128 bit_ops = macs * product_of_bits({left, right});
  Cell& cell = row(site).cells[static_cast<std::size_t>(product)];
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

uint128 CostLedger::bit_ops_under(const PrecisionPlan& plan) const {
  uint128 sum = 0;
  for (const Row& row : rows_) {
    const SiteFormats formats = plan.at(row.site).formats();
    for (const Product product : kAllProducts) {
      sum +=
          row.cells[static_cast<std::size_t>(product)].macs * product_of_bits(formats.of(product));
    }
  }
  return sum;
}

std::string CostLedger::save() const {
  std::string text = concat(kHeader, ' ', iterations_, ' ', paper_bit_ops_, ' ', forward_macs_, ' ',
                            open_forward_macs_, ' ', total_.overflow_events);
  for (const Row& row : rows_) {
    text += concat('|', row.site.name, ' ', join_words(row.site.tags, ","));
    for (const Cell& cell : row.cells) text += concat(' ', cell.macs, ' ', cell.bit_ops);
    if (row.overflow_events() == 0) continue;
    for (const Cell& cell : row.cells) text += concat(' ', cell.overflow_events);
  }
  return text;
}

CostLedger CostLedger::load(std::string_view text) {
  const auto parts = split_at(text, '|');
  const auto head = parts.empty() ? std::vector<std::string>{} : split_at(parts[0], ' ');
  require<DataError>(head.size() == 6 && head[0] == kHeader,
                     "[ledger] expected a text that starts with '", kHeader, "'");
  CostLedger ledger;
  ledger.iterations_ = static_cast<std::uint64_t>(parse_uint128(head[1]));
  ledger.paper_bit_ops_ = parse_uint128(head[2]);
  ledger.forward_macs_ = parse_uint128(head[3]);
  ledger.open_forward_macs_ = parse_uint128(head[4]);
  ledger.total_.overflow_events = parse_uint128(head[5]);
  uint128 located = 0;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto words = split_at(parts[i], ' ');
    const bool overflowed = words.size() == 2 + 3 * kProducts;
    require<DataError>(overflowed || words.size() == 2 + 2 * kProducts,
                       "[ledger] expected a site with ", 2 * kProducts, " or ", 3 * kProducts,
                       " counters, got '", parts[i], "'");
    Row row{{words[0], split_at(words[1], ',')}, {}};
    for (std::size_t p = 0; p < kProducts; ++p) {
      Cell& cell = row.cells[p];
      cell = {parse_uint128(words[2 + 2 * p]), parse_uint128(words[3 + 2 * p])};
      if (overflowed) cell.overflow_events = parse_uint128(words[2 + 2 * kProducts + p]);
      ledger.total_.macs += cell.macs;
      ledger.total_.bit_ops += cell.bit_ops;
      located += cell.overflow_events;
    }
    ledger.rows_.push_back(std::move(row));
  }
  require<DataError>(located <= ledger.total_.overflow_events, "[ledger] the sites count ", located,
                     " overflow events, all of them ", ledger.total_.overflow_events);
  return ledger;
}

}  // namespace ebb
