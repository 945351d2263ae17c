#include "train/costs.h"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "core/text.h"

namespace ebb::train {
namespace {

// All formats of a plan: plans of one run that agree in this charge alike.
std::string key_of(const PrecisionPlan& plan) {
  std::string key;
  const auto add = [&key](std::string_view name, const SiteFormats& formats) {
    key += name;
    for (const Role role : {Role::weight, Role::activation, Role::gradient})
      key += concat('/', formats.of(role));
    key += '|';
  };
  add("", plan.base.formats());
  for (const PrecisionPlan::Rule& rule : plan.rules) add(rule.pattern, rule.numerics.formats());
  return key;
}

double ratio(uint128 a, uint128 b) {
  return b == 0 ? 1.0 : static_cast<double>(a) / static_cast<double>(b);
}

std::vector<Task::Examples> kinds_of(const Task& task, std::int64_t t) {
  if (task.kinds) return task.kinds(t);
  Task::Examples all{.kind = 0, .count = 0};
  for (const std::int64_t examples : task.parts(t)) all.count += examples;
  return {all};
}

// Charges the products of a ledger `times` over, at the formats that `formats(site)` has.
template <class Formats>
void charge(CostLedger& ledger, const CostLedger& products, std::int64_t times,
            const Formats& formats) {
  for (const CostLedger::Row& row : products.rows()) {
    const SiteFormats here = formats(row.site);
    for (const Product product : kAllProducts) {
      const uint128 macs =
          row.cells[static_cast<std::size_t>(product)].macs * static_cast<uint128>(times);
      const SiteFormats::Pair pair = here.of(product);
      if (macs > 0) ledger.charge(row.site, product, macs, pair.left, pair.right);
    }
  }
}

}  // namespace

CostLedger count_example(const Task& task, const ParamStore& params, std::int64_t kind) {
  CostLedger ledger;
  Pass pass{.params = params,
            .plan = PrecisionPlan::fp32(),
            .ledger = ledger,
            .key = Key(0),
            .simd = best_simd(),
            .counting = true};
  static_cast<void>(pass.tape.backward(task.example(pass, kind)));
  return ledger;
}

std::vector<PrecisionPlan> distinct_plans(const std::function<PrecisionPlan(std::int64_t)>& plan,
                                          std::int64_t iterations) {
  std::set<std::string> seen;
  std::vector<PrecisionPlan> plans;
  for (std::int64_t t = 0; t < iterations; ++t) {
    PrecisionPlan at = plan(t);
    if (seen.insert(key_of(at)).second) plans.push_back(std::move(at));
  }
  return plans;
}

CostLedger predict(const Task& task, const ParamStore& params,
                   const std::function<PrecisionPlan(std::int64_t)>& plan,
                   std::int64_t iterations) {
  // Few plans and kinds occur, so examples are added up by both first: each kind is counted once
  // and each plan charged once.
  struct Share {
    PrecisionPlan plan;
    CostLedger products;
  };
  std::map<std::string, Share> shares;
  std::map<std::int64_t, std::map<Share*, std::int64_t>> examples;
  for (std::int64_t t = 0; t < iterations; ++t) {
    PrecisionPlan at = plan(t);
    Share& share = shares[key_of(at)];
    share.plan = std::move(at);
    for (const Task::Examples& some : kinds_of(task, t)) examples[some.kind][&share] += some.count;
  }
  for (const auto& [kind, counts] : examples) {
    const CostLedger example = count_example(task, params, kind);
    for (const auto& [share, count] : counts)
      charge(share->products, example, count, [](const Site&) { return SiteFormats{}; });
  }
  CostLedger ledger;
  for (const auto& entry : shares) {
    const auto& share = entry.second;
    charge(ledger, share.products, 1,
           [&](const Site& site) { return share.plan.at(site).formats(); });
    ledger.close_iteration(share.plan.base.formats());
  }
  return ledger;
}

RelativeCost relative_cost(const CostLedger& ledger, const SiteFormats& reference) {
  PrecisionPlan plan;
  plan.base.set_formats(reference);
  return {.exact = ratio(ledger.total_bit_ops(), ledger.bit_ops_under(plan)),
          .paper = ratio(ledger.paper_bit_ops(),
                         ledger.forward_macs() * CostLedger::paper_bits(reference)),
          .reference = reference};
}

}  // namespace ebb::train
