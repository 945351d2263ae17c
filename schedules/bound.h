#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "schedules/controller.h"
#include "schedules/value.h"

namespace ebb {

namespace schedules {
struct Program;
}

/// A schedule that knows its run: every length is a whole number of updates. A pure function of the
/// update; reading it from several threads is safe and nothing is allocated.
class Bound {
 public:
  /// What update t uses. Update 0 is the first, T-1 the last; value(T) is the end value, which
  /// every later t has, too.
  /// @throws ConfigError for t < 0
  Value value(std::int64_t t) const;
  /// The same where only a number will do.
  /// @throws ConfigError if the value is a name
  double operator()(std::int64_t t) const;

  /// The controllers of the expression as they begin, in the order of its text; then those of the
  /// schedules that it refers to. A copy of them belongs to a run, which tells it what it measures.
  const std::vector<Controller>& controllers() const;
  /// The same with the controllers at these values (see readings_of); without them they stand at
  /// their first ones. @throws ConfigError also unless there is one value a controller
  Value value(std::int64_t t, std::span<const double> readings) const;
  double operator()(std::int64_t t, std::span<const double> readings) const;

  /// T, the updates planned.
  std::int64_t updates() const;
  /// What is legal but probably not meant, each a sentence that says what will happen: a warm-up
  /// longer than the run, parts that the end of the run cuts off, an odd number of half-waves,
  /// cycles too short for their curve.
  const std::vector<std::string>& warnings() const;

  explicit Bound(std::shared_ptr<const schedules::Program> program)
      : program_(std::move(program)) {}
  const schedules::Program& program() const { return *program_; }

 private:
  std::shared_ptr<const schedules::Program> program_;
};

}  // namespace ebb
