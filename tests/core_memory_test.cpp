#include <doctest/doctest.h>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>

#include "core/aligned.h"
#include "core/memory.h"
#include "core/tensor.h"

using namespace ebb;

namespace {

// AddressSanitizer ends a program that asks for more than it can give.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kRefuses = false;
#elif defined(__has_feature)
constexpr bool kRefuses = !__has_feature(address_sanitizer);
#else
constexpr bool kRefuses = true;
#endif

template <class F>
std::string memory_error_of(const F& f) {
  try {
    f();
  } catch (const std::bad_alloc& error) {  // as which it is known to those who know nothing of Ebb
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("sizes are said in the unit in which they have one to four digits before the point") {
  struct Case {
    uint128 bytes;
    const char* text;
  };
  const Case cases[] = {{0, "0 bytes"},
                        {1023, "1023 bytes"},
                        {1024, "1.0 KiB"},
                        {1536, "1.5 KiB"},
                        {(1 << 20) - 1, "1024.0 KiB"},
                        {1 << 20, "1.0 MiB"},
                        {uint128{13207024435}, "12.3 GiB"},
                        {uint128{1} << 63, "8.0 EiB"},
                        {uint128{1} << 72, "4096.0 EiB"}};
  for (const Case& c : cases) CHECK(bytes_text(c.bytes) == c.text);
}

TEST_CASE("an allocation that fails says how much was wanted and for what, anything else passes") {
  const std::string text = "[memory] cannot allocate 2.0 KiB for a row of 512";
  CHECK(memory_error_of([] {
          allocate(
              2048, [] { throw std::bad_alloc(); }, "a row of ", 512);
        }) == text);
  CHECK(memory_error_of([] {
          allocate(
              2048, [] { throw std::length_error("vector"); }, "a row of ", 512);
        }) == text);
  CHECK(allocate(
            4, [] { return 7; }, "nothing") == 7);
  CHECK_THROWS_AS(allocate(
                      4, [] { throw std::out_of_range("else"); }, "nothing"),
                  std::out_of_range);
}

TEST_CASE("a tensor without memory names its shape, a buffer its elements") {
  constexpr std::int64_t k = 1024, m = k * k;
  // 2^61 floats: a shape that there is, and more bytes than a container may have.
  CHECK(memory_error_of([] {
          Tensor::zeros({m * k * 2, m * k});
        }) == "[memory] cannot allocate 8.0 EiB for a tensor of [2147483648, 1073741824]");
  if (!kRefuses) return;
  CHECK(memory_error_of([] {
          Tensor::uninitialized({m, m, k * 64});
        }) ==  // more than any machine has
        "[memory] cannot allocate 256.0 PiB for a tensor of [1048576, 1048576, 65536]");
  CHECK(memory_error_of([] { Aligned<double>(std::size_t{1} << 55); }) ==
        "[memory] cannot allocate 256.0 PiB for a buffer of 36028797018963968 elements of 8 bytes");
}

TEST_CASE("elements begin on a cache line, and take the memory that as many have left") {
  constexpr std::size_t n = 12'345;
  Aligned<float> left(n);
  const Aligned<float> behind(n);  // so that what is left is not joined to the rest of the heap
  const auto address = [](const Aligned<float>& elements) {
    return reinterpret_cast<std::uintptr_t>(elements.data());
  };
  CHECK(address(left) % 64 == 0);
  CHECK(address(behind) % 64 == 0);
  [[maybe_unused]] const std::uintptr_t was = address(left);
  Aligned<float>().swap(left);
#if defined(__GLIBC__) && !defined(EBB_SANITIZED)
  CHECK(address(Aligned<float>(n)) == was);
#endif
}
