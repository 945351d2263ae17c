#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "train/checkpoint.h"
#include "train/packed_file.h"
#include "train/safetensors.h"

using namespace ebb;
using namespace ebb::train;

// A checkpoint's checksum would hide almost every input from the code behind it, so the safetensors
// reader is also driven alone: what it accepts must be written and read back as the same file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const SafeTensors file = parse_safetensors(bytes);
    for (const StoredTensor& stored : file.tensors) {
      try {
        static_cast<void>(stored.tensor());
      } catch (const DataError&) {
      }
    }
    if (!(parse_safetensors(to_safetensors(file)) == file)) std::abort();
    static_cast<void>(unpacked(file));
  } catch (const DataError&) {
  }
  try {
    static_cast<void>(parse_checkpoint(bytes));
  } catch (const DataError&) {
  }
  return 0;
}
