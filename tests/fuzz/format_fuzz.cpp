// The format parser: any bytes are refused with a ConfigError, or are a format that prints, reads
// back, and encodes every number to a code that stands for a number.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "quant/formats/names.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)ebb::split_list(text);
  try {
    const ebb::Format format = ebb::Format::parse(text);
    if (!(ebb::Format::parse(ebb::to_text(format)) == format)) std::abort();
    if (!ebb::has_codec(format)) return 0;
    const ebb::FormatTraits& traits = ebb::traits_of(format);
    for (const double x : {0.0, -1.0, 3.3, 1e-30, -1e30, 0x1p-1074}) {
      for (int rounding = 0; rounding < 8; ++rounding) {
        const std::uint32_t code =
            traits.encode(format, x, static_cast<ebb::Rounding>(rounding), {0x80000000u});
        if (format.width < 32 && code >> format.width != 0) std::abort();
        if (std::isnan(traits.decode(format, code)) && !traits.has_nan(format)) std::abort();
      }
    }
  } catch (const ebb::ConfigError&) {
  }
  return 0;
}
