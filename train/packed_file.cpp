#include "train/packed_file.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "core/error.h"
#include "quant/formats/block.h"
#include "quant/formats/codec.h"

namespace ebb::train {
namespace {

// Metadata and what follows a parameter's name.
constexpr const char *kVersion = "packed", *kFormat = "format", *kGrid = "grid";
constexpr std::string_view kCodes = ".codes", kShape = ".shape", kScales = ".scales",
                           kOffsets = ".offsets", kTensorScale = ".tensor_scale";

/// A scale of blocks as a byte: the exponent of a power of two plus 127, or the code of an e4m3.
bool has_scale_codes(Format format) {
  return has_blocks(format) && format.scaling.kind != Scaling::Kind::absmax;
}
bool has_power_scales(Format format) { return format.scaling.kind != Scaling::Kind::ue4m3; }

Format e4m3() { return Format::floating(4, 3); }

std::string scale_codes(const PackedMatrix& packed) {
  std::string bytes;
  for (const float scale : packed.scales) {
    const std::uint32_t code = has_power_scales(packed.format)
                                   ? static_cast<std::uint32_t>(std::ilogb(scale) + 127)
                                   : encode(e4m3(), scale, 1.0f, Rounding::nearest_even, Key(0), 0);
    bytes += static_cast<char>(code);
  }
  return bytes;
}

std::vector<float> scales_of(const std::string& bytes, Format format) {
  std::vector<float> scales;
  for (const char byte : bytes) {
    const auto code = static_cast<unsigned char>(byte);
    scales.push_back(has_power_scales(format) ? std::ldexp(1.0f, int{code} - 127)
                                              : decode(e4m3(), code, 1.0f));
  }
  return scales;
}

StoredTensor vector_of(const std::string& name, const std::vector<float>& values) {
  return StoredTensor::of(name, Tensor::from({std::ssize(values)}, values));
}

std::vector<float> floats_of(const StoredTensor& stored) {
  const Tensor values = stored.tensor();
  return {values.values().begin(), values.values().end()};
}

/// Reads the matrices of a file.
class Reader {
 public:
  explicit Reader(SafeTensors file) : file_(std::move(file)) {
    const std::string version = file_.metadata.at(kVersion);
    require<DataError>(version == "1", "[packed] the file is of layout ", version,
                       ", this version of Ebb reads layout 1");
    try {
      format_ = Format::parse(text(kFormat));
      require_operand(format_);
      if (has_blocks(format_)) require_blocks(format_);
      if (!has_codec(format_)) grid_ = parse_grid_style(text(kGrid));
    } catch (const ConfigError& error) {
      throw DataError(concat("[packed] the file's metadata: ", error.what()));
    }
  }

  SafeTensors operator()() {
    SafeTensors plain;
    std::vector<std::string> used;
    for (const StoredTensor& stored : file_.tensors) {
      if (!stored.name.ends_with(kCodes)) continue;
      const std::string name = stored.name.substr(0, stored.name.size() - kCodes.size());
      plain.tensors.push_back(matrix(name, stored));
      for (const std::string_view part : {kCodes, kShape, kScales, kOffsets, kTensorScale})
        used.push_back(concat(name, part));
    }
    for (StoredTensor& stored : file_.tensors) {
      if (std::ranges::find(used, stored.name) == used.end())
        plain.tensors.push_back(std::move(stored));
    }
    return plain;
  }

 private:
  [[nodiscard]] std::string text(const char* key) const {
    const auto found = file_.metadata.find(key);
    return found == file_.metadata.end() ? "" : found->second;
  }

  /// The parameter of a name, whose codes are these.
  StoredTensor matrix(const std::string& name, const StoredTensor& codes) {
    const std::vector<std::int64_t> shape = file_.at(concat(name, kShape)).integers();
    const auto fits = [&](bool is, const char* what) {
      require<DataError>(is, "[packed] '", name, "': ", what, " do not fit a matrix in ", format_);
    };
    fits(!shape.empty() && shape.size() <= static_cast<std::size_t>(Shape::kMaxRank), "extents");
    PackedMatrix packed{.format = format_, .grid = grid_, .rows = shape[0], .cols = 1};
    // No more columns than there are bits, so that no size overflows.
    const auto most = static_cast<std::int64_t>(codes.bytes.size()) * 8;
    for (const std::int64_t extent : std::span(shape).subspan(1)) {
      fits(extent >= 1 && extent <= most / packed.cols, "extents");
      packed.cols *= extent;
    }
    fits(codes.dtype == DType::u8 && codes.shape.size() == 2 && packed.rows >= 1 &&
             codes.shape[0] == packed.rows && codes.shape[1] == packed_bytes(format_, packed.cols),
         "codes");
    packed.codes = codes.bytes;
    read_scales(name, packed, fits);
    const std::vector<float> values = unpack(packed);
    return StoredTensor::of(name, Tensor::from(Shape(std::span(shape)), values));
  }

  template <class Fits>
  void read_scales(const std::string& name, PackedMatrix& packed, const Fits& fits) {
    const auto rows = static_cast<std::size_t>(packed.rows);
    if (has_blocks(format_)) {
      const StoredTensor& stored = file_.at(concat(name, kScales));
      const BlockCounts count = count_blocks(format_, packed.rows, packed.cols);
      const bool coded = has_scale_codes(format_);
      fits(stored.shape == std::vector{count.rows, count.cols} &&
               stored.dtype == (coded ? DType::u8 : DType::f32),
           "scales");
      packed.scales = coded ? scales_of(stored.bytes, format_) : floats_of(stored);
      if (has_power_scales(format_)) return;
      const std::vector<float> tensor = floats_of(file_.at(concat(name, kTensorScale)));
      fits(tensor.size() == 1, "scales");
      packed.tensor_scale = tensor[0];
      return;
    }
    const bool on_grid = !has_codec(format_);
    if (!on_grid && format_.scaling.kind == Scaling::Kind::none) return;
    packed.scales = floats_of(file_.at(concat(name, kScales)));
    fits(packed.scales.size() == rows, "scales");
    if (!on_grid || grid_ != GridStyle::affine) return;
    packed.offsets = floats_of(file_.at(concat(name, kOffsets)));
    fits(packed.offsets.size() == rows, "offsets");
  }

  SafeTensors file_;
  Format format_{};
  GridStyle grid_ = GridStyle::symmetric;
};

}  // namespace

void add_packed(SafeTensors& file, const std::string& name, const Shape& shape,
                const PackedMatrix& packed) {
  const auto add = [&](StoredTensor stored, std::string_view part) {
    stored.name = concat(name, part);
    file.tensors.push_back(std::move(stored));
  };
  add(StoredTensor::of("", shape.extents()), kShape);
  add({.dtype = DType::u8,
       .shape = {packed.rows, packed_bytes(packed.format, packed.cols)},
       .bytes = packed.codes},
      kCodes);
  if (has_blocks(packed.format)) {
    const BlockCounts count = count_blocks(packed.format, packed.rows, packed.cols);
    StoredTensor scales = has_scale_codes(packed.format)
                              ? StoredTensor{.dtype = DType::u8, .bytes = scale_codes(packed)}
                              : vector_of("", packed.scales);
    scales.shape = {count.rows, count.cols};
    add(std::move(scales), kScales);
    if (!has_power_scales(packed.format)) add(vector_of("", {packed.tensor_scale}), kTensorScale);
    return;
  }
  if (!packed.scales.empty()) add(vector_of("", packed.scales), kScales);
  if (!packed.offsets.empty()) add(vector_of("", packed.offsets), kOffsets);
}

void finish_packed(SafeTensors& file, Format format, GridStyle grid) {
  file.metadata[kVersion] = "1";
  file.metadata[kFormat] = to_text(format);
  if (!has_codec(format)) file.metadata[kGrid] = to_text(grid);
  std::ranges::stable_sort(file.tensors, std::ranges::greater{},
                           [](const StoredTensor& stored) { return size_of(stored.dtype); });
}

SafeTensors unpacked(SafeTensors file) {
  return file.metadata.contains(kVersion) ? Reader(std::move(file))() : std::move(file);
}

}  // namespace ebb::train
