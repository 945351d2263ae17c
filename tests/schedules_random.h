#pragma once

#include <vector>

#include "core/key.h"
#include "schedules/schedule.h"

/// Random schedules made of every operator of the grammar, as a function of a key; with controllers
/// among their leaves if they may be closed loops.
class RandomSchedule {
 public:
  explicit RandomSchedule(ebb::Key key, bool closed = false) : key_(key), closed_(closed) {}

  ebb::Schedule number_valued(int depth) {
    using namespace ebb::schedules;
    if (depth <= 0) return leaf();
    const ebb::Schedule a = number_valued(depth - 1);
    switch (draw(21)) {
      case 0: return ramp(real(), real(), a);
      case 1: return stretch(a, length(), draw(4) == 0);
      case 2: return joined([&] { return number_valued(depth - 1); });
      case 3: return product({a, number_valued(depth - 1), leaf()});
      case 4: return sum({a, number_valued(depth - 1)});
      case 5: return minimum({a, leaf()});
      case 6: return maximum({a, leaf(), leaf()});
      case 7: return affine(a, real(), real());
      case 8: return clamp(-2, 8, a);
      case 9: return draw(2) != 0 ? inv(a) : root(a);
      case 10: return draw(2) != 0 ? round(a) : floor(a);
      case 11: return pick(std::vector<double>{real(), real(), real()}, a);
      case 12: return delay(length(), a);
      case 13: return hold_from(length(), a);
      case 14: return draw(2) != 0 ? sample_every(length(), a) : sample_at({length(), length()}, a);
      case 15: return draw(2) != 0 ? reversed(a) : negated(a);
      case 16: return normalised(a);
      case 17: return draw(2) != 0 ? warm(length(), a) : warm(length(), 0.25, a);
      case 18:
        return draw(2) != 0 ? cycle(1 + draw(9), a, cycle_length())
                            : restarts(1 + draw(5), 0.5 * static_cast<double>(1 + draw(5)), 0.5, a);
      case 19:
        return zigzag(1 + draw(9), draw(2) != 0 ? ebb::Mirror::vertical : ebb::Mirror::horizontal,
                      a, cycle_length());
      default: return group({{"stem", a}, {"*", number_valued(depth - 1)}});
    }
  }

  /// A schedule that may yield names.
  ebb::Schedule mixed(int depth) {
    using namespace ebb::schedules;
    switch (draw(6)) {
      case 0: return named("fp32");
      case 1: return pick(std::vector<std::string>{"fp4", "fp8", "bf16"}, number_valued(depth - 1));
      case 2: return depth > 0 ? joined([&] { return mixed(depth - 1); }) : named("int4");
      case 3: return depth > 0 ? delay(length(), mixed(depth - 1)) : named("int8");
      case 4:
        return depth > 0 ? group({{"first.conv", mixed(depth - 1)},
                                  {"*", round(number_valued(depth - 1))}})
                         : named("tf32");
      default: return number_valued(depth);
    }
  }

  std::int64_t draw(std::uint64_t n) {
    return static_cast<std::int64_t>(key_.below(counter_++, n));
  }

 private:
  double real() {
    switch (draw(4)) {
      case 0: return static_cast<double>(draw(20)) - 8;
      case 1: return key_.normal(counter_++) * 1e-5;
      case 2: return key_.normal(counter_++) * 1e12;
      default: return 0.125 * static_cast<double>(draw(64));
    }
  }

  ebb::CycleLength cycle_length() {
    return draw(2) != 0 ? ebb::CycleLength::floor : ebb::CycleLength::floor_plus_one;
  }

  ebb::Length length() {
    const ebb::Rational count(draw(400), draw(3) != 0 ? 1 : 1 + draw(8));
    switch (draw(6)) {
      case 0: return {count, ebb::Length::Unit::epochs};
      case 1: return {count, ebb::Length::Unit::samples};
      case 2: return {count, ebb::Length::Unit::tokens};
      case 3: return {count, ebb::Length::Unit::updates};
      default: return {count * ebb::Rational(1, 4), ebb::Length::Unit::percent};
    }
  }

  template <class Part>
  ebb::Schedule joined(Part part) {
    std::vector<ebb::Schedule> parts;
    const std::int64_t n = 2 + draw(3), rest = draw(static_cast<std::uint64_t>(n));
    for (std::int64_t i = 0; i < n; ++i) {
      parts.push_back(ebb::schedules::stretch(part(), i == rest ? ebb::Length::rest() : length(),
                                              draw(5) == 0));
    }
    return ebb::schedules::join(std::move(parts));
  }

  ebb::Schedule controller() {
    using namespace ebb::schedules;
    using ebb::make_controller;
    switch (draw(6)) {
      case 0: return controlled(make_controller("plateau", {{"patience", 1}, {"cooldown", 2}}));
      case 1: return controlled(make_controller("volsched", {{"window", 7}, {"history", 3}}));
      case 2: return controlled(make_controller("adapteps", {{"cap", 0.01}}));
      case 3: return controlled(make_controller("autolrs", {{"high", 0.5}}));
      case 4: return refined(controlled(make_controller("record")));
      default:
        return controlled(
            ebb::Controller(ebb::find_controller("phases"), {}, {}, {real(), real()}));
    }
  }

  ebb::Schedule leaf() {
    using namespace ebb::schedules;
    if (closed_ && draw(2) != 0) return controller();
    switch (draw(14)) {
      case 0: return constant();
      case 1: return linear();
      case 2: return cosine();
      case 3: return rex(draw(2) != 0 ? 0.5 : 0.9);
      case 4: return exponential(0.5 * static_cast<double>(draw(10)));
      case 5: return power(0.5 * static_cast<double>(1 + draw(6)));
      case 6: return one_minus_sqrt();
      case 7: return smooth(0.25, static_cast<double>(1 + draw(4)));
      case 8: return step({ebb::Length::percent(50), ebb::Length::percent(75)}, 0.1);
      case 9: return table({real(), real(), real()});
      case 10: return update();
      case 11: return ref("other");
      default: return number(real());
    }
  }

  ebb::Key key_;
  bool closed_;
  std::uint64_t counter_ = 0;
};
