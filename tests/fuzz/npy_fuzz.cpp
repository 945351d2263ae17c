// The reader of .npy: any bytes are refused with a DataError, or are an array.
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/error.h"
#include "data/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    (void)ebb::parse_npy(std::as_bytes(std::span(data, size)), "input");
  } catch (const ebb::DataError&) {
  }
  return 0;
}
