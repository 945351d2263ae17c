// The reader of --numerics files: any bytes are refused with a ConfigError, or are rules that print
// as one line which reads back as the same rules.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "train/options/numerics.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const std::vector<ebb::train::NumericsRule> rules = ebb::train::parse_numerics(text);
    if (ebb::train::parse_numerics(ebb::train::toml_of(rules)) != rules) std::abort();
    for (const ebb::train::NumericsRule& rule : rules) (void)rule.is_for("stage1.block2.conv1");
  } catch (const ebb::ConfigError&) {
  }
  return 0;
}
