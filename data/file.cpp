#include "data/file.h"

#include <lzma.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "core/error.h"
#include "core/memory.h"

namespace ebb {
namespace {

enum class Packing { none, gzip, xz };

using Bytes = std::vector<std::byte>;

template <class Counter>
constexpr std::size_t kMost = std::numeric_limits<Counter>::max();

Packing packing_of(std::span<const std::byte> bytes) {
  constexpr std::array gzip{std::byte{0x1f}, std::byte{0x8b}};
  constexpr std::array xz{std::byte{0xfd}, std::byte{'7'}, std::byte{'z'},
                          std::byte{'X'},  std::byte{'Z'}, std::byte{0}};
  const auto starts = [&](const auto& magic) {
    return bytes.size() >= magic.size() && std::ranges::equal(magic, bytes.first(magic.size()));
  };
  return starts(gzip) ? Packing::gzip : starts(xz) ? Packing::xz : Packing::none;
}

/// Makes room behind the first `used` bytes. The output doubles as it fills, so memory follows what
/// really comes out.
void make_room(Bytes& out, std::size_t used, std::size_t limit, std::string_view name) {
  if (used < out.size()) return;
  require<DataError>(used < limit, "[data] ", name, ": expected at most ", limit,
                     " bytes unpacked, but more follow; is it the right file?");
  const std::size_t size = std::min(limit, std::max<std::size_t>(2 * used, 1 << 16));
  allocate(
      size, [&] { out.resize(size); }, "what ", name, " unpacks to");
}

Bytes unpack_gzip(std::span<const std::byte> packed, std::string_view name, std::size_t limit) {
  z_stream stream{};
  require<DataError>(inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK, "[data] ", name,
                     ": zlib could not start; is memory short?");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  Bytes out;
  std::size_t used = 0, taken = 0;
  bool complete = false;
  while (!complete || taken < packed.size()) {
    if (complete) {  // the next member
      require<DataError>(packing_of(packed.subspan(taken)) == Packing::gzip, "[data] ", name, ": ",
                         packed.size() - taken,
                         " bytes that are not gzip follow the gzip data; fetch the file again");
      inflateReset(&stream);
    }
    make_room(out, used, limit, name);
    // zlib's interface lacks a const: it does not write to its input.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + taken));
    stream.avail_in = static_cast<uInt>(std::min(packed.size() - taken, kMost<uInt>));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(std::min(out.size() - used, kMost<uInt>));
    const uInt input = stream.avail_in, room = stream.avail_out;
    const int status = inflate(&stream, Z_NO_FLUSH);
    taken += input - stream.avail_in;
    used += room - stream.avail_out;
    require<DataError>(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR, "[data] ",
                       name, ": corrupt gzip data near byte ", taken, " (",
                       stream.msg != nullptr ? stream.msg : "no detail", "); fetch the file again");
    complete = status == Z_STREAM_END;
    require<DataError>(complete || stream.avail_out == 0 || taken < packed.size(), "[data] ", name,
                       ": gzip data end too early, after ", packed.size(),
                       " bytes; fetch the file again");
  }
  out.resize(used);
  return out;
}

Bytes unpack_xz(std::span<const std::byte> packed, std::string_view name, std::size_t limit) {
  constexpr std::uint64_t memory = std::uint64_t{512} << 20;  // xz -9 needs 65 MiB
  lzma_stream stream = LZMA_STREAM_INIT;
  require<DataError>(lzma_stream_decoder(&stream, memory, LZMA_CONCATENATED) == LZMA_OK, "[data] ",
                     name, ": liblzma could not start; is memory short?");
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> end(&stream, lzma_end);
  stream.next_in = reinterpret_cast<const std::uint8_t*>(packed.data());
  stream.avail_in = packed.size();
  Bytes out;
  std::size_t used = 0;
  for (;;) {
    make_room(out, used, limit, name);
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data() + used);
    stream.avail_out = out.size() - used;
    const lzma_ret status = lzma_code(&stream, LZMA_FINISH);
    used = out.size() - stream.avail_out;
    if (status == LZMA_STREAM_END) break;
    const std::size_t at = packed.size() - stream.avail_in;
    require<DataError>(status != LZMA_BUF_ERROR, "[data] ", name, ": xz data end too early, after ",
                       packed.size(), " bytes; fetch the file again");
    require<DataError>(status == LZMA_OK, "[data] ", name, ": corrupt xz data near byte ", at,
                       " (liblzma status ", static_cast<int>(status), "); fetch the file again");
  }
  out.resize(used);
  return out;
}

}  // namespace

Bytes unpack(Bytes packed, std::string_view name, std::size_t limit) {
  switch (packing_of(packed)) {
    case Packing::gzip: return unpack_gzip(packed, name, limit);
    case Packing::xz: return unpack_xz(packed, name, limit);
    case Packing::none: break;
  }
  return packed;
}

Bytes read_data_file(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  require<DataError>(std::filesystem::exists(status), "[data] ", name, ": no such file");
  require<DataError>(std::filesystem::is_regular_file(status), "[data] ", name,
                     ": expected a regular file, got a directory or a device");
  const auto size = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  require<DataError>(!error && in.good(), "[data] ", name,
                     ": cannot be opened; check its permissions");
  require<DataError>(size > 0, "[data] ", name, ": the file is empty");
  require<DataError>(size <= kMaxDataFile, "[data] ", name, ": expected at most ", kMaxDataFile,
                     " bytes, got ", size);
  Bytes bytes = allocate(
      size, [&] { return Bytes(static_cast<std::size_t>(size)); }, "the file ", name);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  require<DataError>(in.gcount() == static_cast<std::streamsize>(size), "[data] ", name,
                     ": expected ", size, " bytes, could read ", in.gcount());

  const Packing promised = path.extension() == ".gz"   ? Packing::gzip
                           : path.extension() == ".xz" ? Packing::xz
                                                       : Packing::none;
  require<DataError>(promised == Packing::none || promised == packing_of(bytes), "[data] ", name,
                     ": the name promises ", path.extension().string(),
                     " data, the content is something else; fetch or rename the file");
  return unpack(std::move(bytes), name);
}

}  // namespace ebb
