#pragma once

#include <string>

#include "tools/report/comparison.h"

namespace ebb::report {

/// The report as one HTML file: it needs no network, is readable without JavaScript, and the same
/// runs give the same bytes. Numbers have all their bits in data-value.
std::string to_page(const Comparison& comparison);

}  // namespace ebb::report
