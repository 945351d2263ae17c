#include "train/loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/sums.h"
#include "optim/gradients.h"

namespace ebb::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool due(std::int64_t done, std::int64_t every) { return done % every == 0; }

// The optimizer must never see a gradient that is not finite; float32 plans meet no encode that
// would notice.
void check_finite(const Gradients& gradients, const ParamStore& params) {
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    require<NonFiniteError>(std::isfinite(sum_of_squares(gradients[i].values())),
                            "the gradient of '", params.entries()[i].name,
                            "' is not finite; a smaller --lr or more bits may help");
  }
}

// By a factor rounded once: exact of scales that are powers of two.
void unscale(Gradients& gradients, double scale) {
  const auto factor = static_cast<float>(1 / scale);
  for (Tensor& gradient : gradients) {
    for (float& g : gradient.values()) g *= factor;
  }
}

// The step of iteration t up to, but not including, the update of the parameters. Layer state moves
// after each micro-batch.
struct Sweep {
  std::optional<std::string> overflow{};  ///< with a loss scale: what was not finite
  double loss = 0;
  std::optional<double> accuracy{};
  NamedNumbers settings{};  ///< of the loss
  Gradients gradients{};
};
Sweep sweep(const Task& task, RunState& state, const LoopSettings& settings,
            const PrecisionPlan& plan, const Observer* observer) {
  const std::int64_t t = state.iteration;
  const std::vector<std::int64_t> parts = task.parts(t);
  std::int64_t examples = 0;
  for (const std::int64_t count : parts) examples += count;
  Sweep result;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    const Key key =
        settings.key.fold(static_cast<std::uint64_t>(t)).fold(static_cast<std::uint64_t>(part));
    Pass pass{.params = state.params,
              .plan = plan,
              .ledger = state.ledger,
              .key = key,
              .simd = settings.simd,
              .observer = observer};
    const auto [loss, accuracy, of_loss] = task.loss(pass, t, static_cast<std::int64_t>(part));
    result.settings = of_loss;
    const double value = static_cast<double>(pass.tape[loss].item());
    require<NonFiniteError>(std::isfinite(value), "the loss is ", value,
                            "; a smaller --lr or more bits may help");
    // The mean over the batch is the mean over its parts, each weighted by its share of the
    // examples.
    const double share = static_cast<double>(parts[part]) / static_cast<double>(examples);
    result.loss += share * value;
    if (accuracy) result.accuracy = result.accuracy.value_or(0) + share * *accuracy;
    const double scale = state.loss_scale ? state.loss_scale->scale : 1;
    Gradients gradients;
    try {
      gradients = pass.tape.backward(loss, static_cast<float>(share * scale));
    } catch (const NonFiniteError& error) {
      if (!state.loss_scale) throw;
      result.overflow = error.what();
      return result;
    }
    if (part == 0) {
      result.gradients = std::move(gradients);
    } else {
      accumulate(result.gradients, std::move(gradients));
    }
    pass.effects.apply_to(state.params);
  }
  try {
    check_finite(result.gradients, state.params);
  } catch (const NonFiniteError& error) {
    if (!state.loss_scale) throw;
    result.overflow = error.what();
    return result;
  }
  if (state.loss_scale) unscale(result.gradients, state.loss_scale->scale);
  return result;
}

// Until no gradient overflows, if the loss scale is dynamic. `begin` is called before an attempt.
template <class Begin>
Sweep sweep_scaled(const Task& task, RunState& state, const LoopSettings& settings,
                   const PrecisionPlan& plan, const Observer* observer, const Begin& begin) {
  if (!state.loss_scale) return sweep(task, state, settings, plan, observer);
  std::vector<std::pair<std::size_t, Tensor>> layer_state;
  for (std::size_t i = 0; i < state.params.size(); ++i) {
    const ParamStore::Entry& entry = state.params.entries()[i];
    if (entry.kind == ParamStore::Kind::state) layer_state.emplace_back(i, entry.value);
  }
  for (;;) {
    begin();
    Sweep swept = sweep(task, state, settings, plan, observer);
    if (!swept.overflow) {
      state.loss_scale->succeeded();
      return swept;
    }
    state.loss_scale->overflowed(*swept.overflow);
    for (const auto& [i, value] : layer_state)
      state.params[ParamId{static_cast<std::int32_t>(i)}] = value;
  }
}

double rate_factor(const RunState& state) {
  double factor = 1;
  for (const Controller& controller : state.controllers) factor *= controller.value();
  return factor;
}

// The sum of all magnitudes, tensor after tensor.
double sum_of_magnitudes(const Gradients& gradients) {
  double total = 0;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    double sum = 0;
    for (const float x : gradients[i].values()) sum += std::abs(static_cast<double>(x));
    total += sum;
  }
  return total;
}

// What an update tells, but for the rate: norms only if somebody asks.
NamedNumbers told(const Sweep& swept, const std::vector<Knob>& knobs) {
  NamedNumbers numbers{{"loss", swept.loss}};
  if (swept.accuracy) numbers.emplace_back("accuracy", *swept.accuracy);
  if (any_watches(knobs, "gnorm1"))
    numbers.emplace_back("gnorm1", sum_of_magnitudes(swept.gradients));
  if (any_watches(knobs, "gnorm2")) numbers.emplace_back("gnorm2", global_norm(swept.gradients));
  return numbers;
}

void tell_controllers(RunState& state, const Observation& observation) {
  tell(state.knobs, observation);
  for (Controller& controller : state.controllers) controller.observe(observation);
}

StepRow step(const Task& task, RunState& state, const LoopSettings& settings,
             const LoopEvents& events) {
  const Clock::time_point start = Clock::now();
  const std::int64_t t = state.iteration;
  const PrecisionPlan plan = settings.plan(t);
  const Turned turned =
      turn(state.knobs, t, settings.rate(t), settings.clip, state.optimizer, task.settings);
  const double factor = rate_factor(state), rate = turned.rate * factor;
  const uint128 before = state.ledger.total_bit_ops();
  const bool measure = settings.statistics_every && due(t, *settings.statistics_every),
             probe = !settings.probe.formats.empty() && due(t, settings.probe_every),
             judge = events.updates && settings.update_metrics_every &&
                     due(t, *settings.update_metrics_every);
  Measurements measured;
  const Observer observer = measuring(measured, measure, probe ? settings.probe : Probe{});

  Sweep swept;
  StepRow row{.iteration = t, .epoch = t / task.steps_per_epoch, .learning_rate = rate};
  row.settings = turned.values;
  std::vector<UpdateQuality> updates;
  NamedNumbers numbers;
  try {
    const std::int64_t overflows = state.loss_scale ? state.loss_scale->overflows : 0;
    swept = sweep_scaled(task, state, settings, plan, measure || probe ? &observer : nullptr, [&] {
      measured = {};
      if (state.loss_scale) row.loss_scale = state.loss_scale->scale;
    });
    if (state.loss_scale) row.skipped = state.loss_scale->overflows - overflows;
    numbers = told(swept, state.knobs);
    if (turned.clip) clip_global_norm(swept.gradients, *turned.clip);
    const Key key = settings.key.fold(static_cast<std::uint64_t>(t)).fold("optimizer");
    std::vector<double> rates(state.params.size(), rate);
    if (settings.rates && !turned.rate_set) {
      rates = settings.rates(t);
      for (double& each : rates) each *= factor;
    }
    state.optimizer.step(state.params, swept.gradients, rates, key, judge ? &updates : nullptr);
  } catch (const NonFiniteError& error) {
    throw NonFiniteError(concat("[train] iteration ", t, ": ", error.what()));
  }
  state.ledger.close_iteration(plan.base.formats());
  ++state.iteration;
  numbers.emplace_back("learning_rate", rate);
  tell_controllers(state, {.event = Observation::Event::update,
                           .updates = state.iteration,
                           .numbers = std::move(numbers)});
  if (judge) events.updates(t, updates);
  if (measure && events.statistics) events.statistics(t, measured.operands);
  if (probe && events.probe) events.probe(t, measured);
  row.settings.insert(row.settings.end(), swept.settings.begin(), swept.settings.end());
  row.loss = swept.loss;
  row.accuracy = swept.accuracy;
  row.formats = role_formats(plan, state.ledger);
  row.bit_ops = state.ledger.total_bit_ops() - before;
  row.seconds = seconds_since(start);
  return row;
}

// Whether products of a site had operands of a role.
bool has_operand(const CostLedger::Row& row, Role role) {
  const auto did = [&](Product product) {
    return row.cells[static_cast<std::size_t>(product)].macs > 0;
  };
  if (role == Role::weight) return did(Product::forward) || did(Product::grad_left);
  if (role == Role::activation)
    return did(Product::forward) || did(Product::grad_right) || did(Product::aggregate);
  return did(Product::grad_left) || did(Product::grad_right) || did(Product::aggregate_grad);
}

bool stopping(const LoopSettings& settings) {
  return settings.stop != nullptr && *settings.stop != 0;
}

Pass evaluation_pass(RunState& state, const PrecisionPlan& plan, Key key,
                     const LoopSettings& settings) {
  return {.params = state.params,
          .plan = plan,
          .ledger = state.evaluation_ledger,
          .key = key,
          .mode = Pass::Mode::evaluate,
          .simd = settings.simd,
          .gradients = false};
}

// As in the last update.
void set_for_evaluation(const Task& task, const RunState& state) {
  turn(state.knobs, std::max<std::int64_t>(state.iteration - 1, 0), task.settings);
}

// Scores one split, or nothing if the run is to stop before the last piece.
std::optional<EvalRow> score_split(const Task& task, const Split& split, RunState& state,
                                   const LoopSettings& settings, const LoopEvents& events) {
  set_for_evaluation(task, state);
  const PrecisionPlan plan = evaluation_plan(settings, state.iteration);
  const Clock::time_point start = Clock::now();
  const uint128 before = state.evaluation_ledger.total_bit_ops();
  const Key key = settings.key.fold("evaluation").fold(split.name);
  const Scorer scorer = split.begin();
  for (std::int64_t piece = 0; piece < split.pieces; ++piece) {
    if (stopping(settings)) return std::nullopt;
    if (events.piece) events.piece(split, piece);
    Pass pass = evaluation_pass(state, plan, key.fold(static_cast<std::uint64_t>(piece)), settings);
    scorer.add(pass, piece);
  }
  const Scores scores = scorer.result();
  EvalRow row{.iteration = state.iteration,
              .split = split.name,
              .examples = scores.examples,
              .loss = scores.loss,
              .metric = task.metric.name,
              .score = number_of(scores.values, task.metric.name),
              .formats = role_formats(plan, state.evaluation_ledger),
              .bit_ops = state.evaluation_ledger.total_bit_ops() - before,
              .seconds = seconds_since(start),
              .lower_is_better = task.metric.lower_is_better};
  std::ranges::copy_if(scores.values, std::back_inserter(row.more),
                       [&](const auto& value) { return value.first != row.metric; });
  return row;
}

// Has a controller try values from the state as it is, which comes back but for what was found.
// What the probes cost is charged apart.
void search_from(const Task& task, RunState& state, const LoopSettings& settings, std::size_t knob,
                 std::size_t place) {
  Controller found = state.knobs[knob].controllers[place];
  CostLedger spent = state.search_ledger;
  std::optional<RunState> kept;
  LoopSettings probing = settings;
  probing.stop = nullptr;
  probing.statistics_every.reset();
  probing.probe = {};
  const SearchHost host{
      .snapshot = [&] { kept = state; },
      .restore = [&] { state = *kept; },
      .update =
          [&](double value) {
            number_of(state.knobs[knob].controllers[place].state, "rate") = value;
            std::swap(state.ledger, spent);
            double loss = std::numeric_limits<double>::quiet_NaN();
            try {
              loss = step(task, state, probing, {}).loss;
            } catch (const NonFiniteError&) {  // NOLINT(bugprone-empty-catch): what NaN says
            }
            std::swap(state.ledger, spent);
            return loss;
          },
      .evaluate =
          [&] {
            std::swap(state.evaluation_ledger, spent);
            const double loss = score_split(task, task.splits[0], state, probing, {})->loss;
            std::swap(state.evaluation_ledger, spent);
            return loss;
          }};
  search(found, state.iteration, settings.key.fold("search").fold(state.knobs[knob].name), host);
  state.knobs[knob].controllers[place] = std::move(found);
  state.search_ledger = std::move(spent);
}

void search_where_due(const Task& task, RunState& state, const LoopSettings& settings) {
  for (std::size_t knob = 0; knob < state.knobs.size(); ++knob) {
    for (std::size_t i = 0; i < state.knobs[knob].controllers.size(); ++i) {
      if (search_due(state.knobs[knob].controllers[i], state.iteration))
        search_from(task, state, settings, knob, i);
    }
  }
}

enum class Evaluated : std::uint8_t { done, enough, stopped };

// The evaluation after a step, of the monitored split, or of all if it is the last. If it is
// stopped the state is what it was.
Evaluated evaluate_and_report(const Task& task, RunState& state, const LoopSettings& settings,
                              const LoopEvents& events, bool last) {
  const CostLedger before = state.evaluation_ledger;
  std::vector<EvalRow> rows;
  bool enough = false;
  for (const Split& split : task.splits) {
    if (!last && !enough && !rows.empty()) break;
    const std::optional<EvalRow> row = score_split(task, split, state, settings, events);
    if (!row) {
      state.evaluation_ledger = before;
      return Evaluated::stopped;
    }
    rows.push_back(*row);
    if (rows.size() == 1 && settings.enough) enough = settings.enough(*row);
  }
  if (!rows.empty()) {
    const EvalRow& first = rows.front();
    Observation seen{.event = Observation::Event::evaluation,
                     .updates = state.iteration,
                     .numbers = {{"loss", first.loss}, {first.metric, first.score}}};
    seen.numbers.insert(seen.numbers.end(), first.more.begin(), first.more.end());
    tell_controllers(state, seen);
  }
  if (events.evaluation) std::ranges::for_each(rows, events.evaluation);
  state.evaluation_due = false;
  if (events.evaluated && !rows.empty()) events.evaluated(state);
  return enough ? Evaluated::enough : Evaluated::done;
}

}  // namespace

Outcome run_loop(const Task& task, RunState& state, const LoopSettings& settings,
                 const LoopEvents& events) {
  if (state.iteration == 0) state.optimizer.begin(state.params);
  const auto save = [&] {
    if (events.save) events.save(state);
  };
  while (state.evaluation_due || state.iteration < settings.iterations) {
    bool saved = false;
    if (!state.evaluation_due) {
      if (state.iteration == settings.leave_before) return Outcome::stopped;
      search_where_due(task, state, settings);
      const StepRow row = step(task, state, settings, events);
      if (events.step) events.step(row);
      const bool last = state.iteration == settings.iterations;
      state.evaluation_due = last || due(state.iteration, settings.eval_every);
      // Before the evaluation, which may take longer than whoever stops the run will wait.
      const bool stop = stopping(settings);  // once, lest the run stops unsaved
      saved = last || stop || due(state.iteration, settings.save_every);
      if (saved) save();
      if (stop) return Outcome::stopped;
      if (!state.evaluation_due) continue;
    }
    const bool last = state.iteration == settings.iterations;
    const Evaluated evaluated = evaluate_and_report(task, state, settings, events, last);
    const bool stopped = evaluated == Evaluated::stopped;
    const bool ends = last || evaluated == Evaluated::enough;
    if (stopped ? !last && !saved : ends) save();
    if (stopped) return Outcome::stopped;
    if (ends && !last) return Outcome::ended_early;
  }
  return Outcome::finished;
}

void observe_step(const Task& task, RunState& state, const LoopSettings& settings,
                  const Observer& observer) {
  if (state.iteration == 0) state.optimizer.begin(state.params);
  turn(state.knobs, state.iteration, task.settings);
  sweep(task, state, settings, settings.plan(state.iteration), &observer);
}

PrecisionPlan evaluation_plan(const LoopSettings& settings, std::int64_t updates) {
  if (settings.evaluation_plan) return *settings.evaluation_plan;
  require<ConfigError>(static_cast<bool>(settings.plan),
                       "[train] evaluations need an evaluation_plan, or the plan of the run");
  return settings.plan(std::max<std::int64_t>(updates - 1, 0));
}

EvalRow evaluate(const Task& task, const Split& split, RunState& state,
                 const LoopSettings& settings, const LoopEvents& events) {
  LoopSettings to_the_end = settings;
  to_the_end.stop = nullptr;
  return score_split(task, split, state, to_the_end, events).value();
}

void observe_evaluation(const Split& split, const RunState& state, const LoopSettings& settings,
                        const Observer& observer) {
  CostLedger uncounted;
  Pass pass{.params = state.params,
            .plan = evaluation_plan(settings, state.iteration),
            .ledger = uncounted,
            .key = settings.key.fold("evaluation").fold(split.name).fold(std::uint64_t{0}),
            .mode = Pass::Mode::evaluate,
            .simd = settings.simd,
            .observer = &observer,
            .gradients = false};
  split.begin().add(pass, 0);
}

std::vector<std::vector<std::string>> score_file(const Task& task, const std::string& path,
                                                 RunState& state, const LoopSettings& settings) {
  set_for_evaluation(task, state);
  const PrecisionPlan plan = evaluation_plan(settings, state.iteration);
  const Key key = settings.key.fold("evaluation").fold("file");
  const FileScorer scorer = task.open_file(path);
  for (std::int64_t piece = 0; piece < scorer.pieces; ++piece) {
    Pass pass = evaluation_pass(state, plan, key.fold(static_cast<std::uint64_t>(piece)), settings);
    scorer.add(pass, piece);
  }
  return scorer.rows();
}

Generated generate(const Task& task, RunState& state, const LoopSettings& settings) {
  set_for_evaluation(task, state);
  const PrecisionPlan plan = evaluation_plan(settings, state.iteration);
  Pass pass = evaluation_pass(state, plan, settings.key.fold("generation"), settings);
  return task.generate(pass);
}

RoleFormats role_formats(const PrecisionPlan& plan, const CostLedger& charged) {
  RoleFormats formats;
  const auto format = [&](Role role) -> std::optional<Format> {
    std::optional<Format> first;
    bool any_common = false;
    const Format common = plan.base.encoding(role).format;
    for (const CostLedger::Row& row : charged.rows()) {
      if (!has_operand(row, role)) continue;
      const Format here = plan.encoding(row.site, role).format;
      first = first.value_or(here);
      formats.by_site = formats.by_site || here != *first || plan.at(row.site).is_split(role);
      any_common = any_common || here == common;
    }
    return any_common ? common : first;
  };
  formats.weight = format(Role::weight).value_or(plan.base.weight.format);
  formats.activation = format(Role::activation).value_or(plan.base.activation.format);
  formats.gradient = format(Role::gradient);
  return formats;
}

}  // namespace ebb::train
