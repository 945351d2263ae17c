// Stands in for libFuzzer where there is none: runs the target on every file of the given folders,
// whole and cut short.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> text{std::istreambuf_iterator<char>(in), {}};
    // Every prefix of a short input, 64 of a long one: truncation is what files suffer most.
    const std::size_t step = std::max<std::size_t>(1, text.size() / 64);
    for (std::size_t size = 0; size < text.size() + step; size += step) {
      // An exact-size copy lets AddressSanitizer see a read of one byte too many.
      const std::vector<std::uint8_t> input(
          text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(size, text.size())));
      LLVMFuzzerTestOneInput(input.data(), input.size());
    }
  }
  std::printf("%zu corpus files replayed\n", files.size());
  return files.empty() ? 1 : 0;
}
