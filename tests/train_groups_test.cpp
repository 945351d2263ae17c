#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "train/options/groups.h"

using namespace ebb;
using namespace ebb::train;

TEST_CASE("a part of a group is for operands by site, tag, role, or site and role") {
  const Site site{"block1.conv2", {"first"}};
  struct Case {
    const char* part;
    bool weight, activation;
  };
  const Case cases[] = {{"block1.conv2", true, true},
                        {"block1", true, true},
                        {"first", true, true},
                        {"weight", true, false},
                        {"activation", false, true},
                        {"gradient", false, false},
                        {"block1.weight", true, false},
                        {"first.activation", false, true},
                        {"block1.conv2.weight", true, false},
                        {"block1.conv", false, false},
                        {"conv2", false, false},
                        {"last", false, false},
                        {"block2.weight", false, false},
                        {"weight.block1", false, false}};
  for (const Case& c : cases) {
    CAPTURE(c.part);
    CHECK(is_for_operand(c.part, site, Role::weight) == c.weight);
    CHECK(is_for_operand(c.part, site, Role::activation) == c.activation);
  }
}

TEST_CASE(
    "a part of a group is for parameters by name, dotted beginning, dotted end, or tag of the "
    "site") {
  const std::vector<Site> sites{{"conv1", {"first"}},
                                "block1.conv2",
                                {"block", {"last"}}};  // the last is no beginning of block1
  struct Case {
    const char* part;
    bool conv1_bias, conv2_weight, norm_shift;
  };
  const Case cases[] = {{"bias", true, false, false},         {"weight", false, true, false},
                        {"conv1", true, false, false},        {"block1", false, true, true},
                        {"block1.conv2", false, true, false}, {"conv1.bias", true, false, false},
                        {"conv2.weight", false, true, false}, {"first", true, false, false},
                        {"last", false, false, false},        {"ias", false, false, false},
                        {"block", false, false, false},       {"shift", false, false, true}};
  for (const Case& c : cases) {
    CAPTURE(c.part);
    CHECK(is_for_parameter(c.part, "conv1.bias", sites) == c.conv1_bias);
    CHECK(is_for_parameter(c.part, "block1.conv2.weight", sites) == c.conv2_weight);
    CHECK(is_for_parameter(c.part, "block1.norm.shift", sites) == c.norm_shift);
  }
}
