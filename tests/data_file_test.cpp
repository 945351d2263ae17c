#include <doctest/doctest.h>
#include <lzma.h>
#include <zlib.h>

#include <filesystem>

#include "data/file.h"
#include "tests/data_files.h"
#include "tests/scratch.h"

using namespace ebb;
using namespace data_test;

namespace {

Bytes gzip(const Bytes& plain) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  Bytes packed(deflateBound(&stream, plain.size()));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

Bytes xz(const Bytes& plain) {
  Bytes packed(lzma_stream_buffer_bound(plain.size()));
  std::size_t used = 0;
  lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, nullptr,
                          reinterpret_cast<const std::uint8_t*>(plain.data()), plain.size(),
                          reinterpret_cast<std::uint8_t*>(packed.data()), &used, packed.size());
  packed.resize(used);
  return packed;
}

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * i / 7);
  return bytes;
}

Bytes joined(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST_CASE(
    "gzip and xz data unpack to what was packed, members one after another included, and other "
    "data pass") {
  for (const std::size_t size : {1U, 2U, 1000U, 65536U, 65537U, 300000U}) {
    CAPTURE(size);
    const Bytes plain = pattern(size);
    CHECK(unpack(plain, "plain") == plain);
    CHECK(unpack(gzip(plain), "gz") == plain);
    CHECK(unpack(xz(plain), "xz") == plain);
    CHECK(unpack(joined(gzip(plain), gzip(plain)), "gz") == joined(plain, plain));
    CHECK(unpack(joined(xz(plain), xz(plain)), "xz") == joined(plain, plain));
  }
}

TEST_CASE("packed data that are cut, altered, followed by others or too long are refused by name") {
  const Bytes plain = pattern(5000);
  for (const Bytes& packed : {gzip(plain), xz(plain)}) {
    for (std::size_t keep = 6; keep < packed.size(); keep += 97) {
      CAPTURE(keep);
      const Bytes cut(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(keep));
      CHECK(contains(message_of<DataError>([&] { unpack(cut, "some.name"); }), "some.name: "));
    }
    Bytes altered = packed;
    altered[packed.size() / 2] ^= std::byte{0x10};
    CHECK(contains(message_of<DataError>([&] { unpack(altered, "some.name"); }), "corrupt"));
    CHECK(contains(message_of<DataError>([&] {
                     unpack(joined(packed, bytes_of({'x', 'y', 'z', 'w'})), "some.name");
                   }),
                   "fetch the file again"));
    CHECK(unpack(packed, "n", plain.size()) == plain);
    CHECK(contains(message_of<DataError>([&] { unpack(packed, "n", plain.size() - 1); }),
                   "expected at most 4999 bytes"));
  }
}

TEST_CASE("a data file is read whole, and one that cannot be is refused by name") {
  const Scratch folder;
  const Bytes plain = pattern(1000);
  CHECK(read_data_file(write_file(folder / "a.bin", plain)) == plain);
  CHECK(read_data_file(write_file(folder / "a.bin.gz", gzip(plain))) == plain);
  CHECK(read_data_file(write_file(folder / "a.bin.xz", xz(plain))) == plain);
  CHECK(read_data_file(write_file(folder / "packed-all-the-same", gzip(plain))) == plain);
  struct Case {
    const char* why;
    std::filesystem::path path;
    const char* message;
  };
  const Case cases[] = {
      {"missing", folder / "none", "none: no such file"},
      {"folder", folder.path(), "expected a regular file"},
      {"device", "/dev/zero", "expected a regular file"},
      {"empty", write_file(folder / "empty", {}), "the file is empty"},
      {"empty gzip", write_file(folder / "empty.gz", {}), "the file is empty"},
      {"named gzip", write_file(folder / "plain.gz", plain), "the name promises .gz data"},
      {"named xz", write_file(folder / "other.xz", gzip(plain)), "the name promises .xz data"}};
  for (const Case& c : cases) {
    CAPTURE(c.why);
    CHECK(contains(message_of<DataError>([&] { read_data_file(c.path); }), c.message));
  }
}
