#pragma once

#include <memory>

namespace ebb {

/// A number that a network or a loss reads anew in every pass, such as a probability of dropout: as
/// it was made, or as whoever runs the passes has set it between them. Copies are the same number,
/// so that a network's configuration and the loop that turns it share one. Never set it during a
/// pass.
class Setting {
 public:
  Setting(double value = 0)  // NOLINT(google-explicit-constructor): most are only that
      : value_(std::make_shared<double>(value)) {}
  operator double() const { return *value_; }  // NOLINT(google-explicit-constructor)
  void set(double value) const { *value_ = value; }

 private:
  std::shared_ptr<double> value_;
};

}  // namespace ebb
