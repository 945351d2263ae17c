#include "train/costs.h"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace ebb::train {
namespace {

// All formats of a plan: plans of one run that agree in this charge alike.
std::string key_of(const PrecisionPlan& plan) {
  std::string key;
  const auto add = [&key](std::string_view name, const Numerics& numerics) {
    key += name;
    for (const Product product : {Product::forward, Product::grad_left, Product::grad_right}) {
      const SiteFormats::Pair formats = numerics.formats(product);
      key += concat('/', formats.left, '/', formats.right);
    }
    key += '|';
  };
  add("", plan.base);
  for (const PrecisionPlan::Rule& rule : plan.rules) add(rule.pattern, rule.numerics);
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
      share->products.charge(example, PrecisionPlan::fp32(), static_cast<std::uint64_t>(count));
  }
  CostLedger ledger;
  for (const auto& entry : shares) {
    const auto& share = entry.second;
    ledger.charge(share.products, share.plan);
    ledger.close_iteration(share.plan.base.formats());
  }
  return ledger;
}

RelativeCost relative_cost(const CostLedger& ledger, const CostBasis& basis) {
  PrecisionPlan plan;
  plan.base.set_formats(basis.reference);
  RelativeCost result{
      .paper = ratio(ledger.paper_bit_ops(),
                     ledger.forward_macs() * CostLedger::paper_bits(basis.reference)),
      .basis = basis};
  if (basis.model.kind == CostModel::Kind::bits) {
    result.exact = ratio(ledger.total_bit_ops(), ledger.bit_ops_under(plan));
    return result;
  }
  const std::optional<double> total = cost(ledger, basis.model);
  require<DataError>(total.has_value(),
                     "[cost model] the ledger does not know the formats of all "
                     "its products, which ",
                     basis.model, " needs: version 0.1 wrote it; bits needs only their widths");
  const double same = cost_under(ledger, basis.model, plan);
  result.exact = same > 0 ? *total / same : 1.0;
  return result;
}

std::vector<RelativeCost> relative_costs(const CostLedger& ledger, const SiteFormats& reference) {
  std::vector<RelativeCost> costs;
  for (const char* model : {"bits", "multiplier", "datapath", "throughput"}) {
    const CostBasis basis{reference, CostModel::parse(model)};
    if (cost(ledger, basis.model)) costs.push_back(relative_cost(ledger, basis));
  }
  return costs;
}

}  // namespace ebb::train
