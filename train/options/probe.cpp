#include "train/options/probe.h"

#include <algorithm>

#include "core/error.h"
#include "core/text.h"
#include "quant/formats/names.h"

namespace ebb::train {

std::vector<Format> parse_formats(const std::string& list) {
  std::vector<Format> formats;
  for (const std::string& name : split_list(list)) {
    Format format;
    if (!find_width(name, format)) format = Format::parse(name);
    require_operand(format);
    require<ConfigError>(std::ranges::find(formats, format) == formats.end(), format,
                         " is named twice");
    formats.push_back(format);
  }
  return formats;
}

std::vector<Format> parse_probe_formats(const std::string& list) {
  std::vector<Format> formats = parse_formats(list);
  require<ConfigError>(std::ranges::find(formats, Format::fp32()) == formats.end(),
                       "fp32 loses nothing; name narrower formats, as in int4,int6");
  return formats;
}

std::vector<Accumulator> parse_probe_accumulators(const std::string& list) {
  std::vector<Accumulator> accumulators;
  for (const std::string& name : split_list(list)) {
    const Accumulator accumulator = Accumulator::parse(name);
    require<ConfigError>(!accumulator.is_exact(),
                         "exact sums never overflow; name narrow ones, as in wrap16,sat12");
    require<ConfigError>(std::ranges::find(accumulators, accumulator) == accumulators.end(),
                         accumulator, " is named twice");
    accumulators.push_back(accumulator);
  }
  return accumulators;
}

Probe probe_of(const Options& options) {
  if (!options.has("probe")) return {};
  Probe probe{.formats = parse_probe_formats(options.text("probe")),
              .accumulators = parse_probe_accumulators(options.text("probe-accumulators"))};
  const bool one_bit = std::ranges::find(probe.formats, Format::integer(1)) != probe.formats.end();
  for (const char* grid : {"grid", "gradient-grid"}) {
    require<ConfigError>(!one_bit || options.text(grid) != "symmetric",
                         "[command line] --probe: a symmetric grid has at least 2 bits, got int1; "
                         "leave it out, or take --",
                         grid, " affine");
  }
  return probe;
}

}  // namespace ebb::train
