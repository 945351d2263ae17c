#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace ebb::train {

enum class DType : std::uint8_t { u8, i64, u64, f32, f64 };

/// Bytes of one element.
std::int64_t size_of(DType dtype);
/// The name in the file: "U8", "I64", "U64", "F32" or "F64".
std::string_view name_of(DType dtype);

/// One array of a safetensors file: its elements row-major in little-endian bytes.
struct StoredTensor {
  std::string name{};
  DType dtype = DType::u8;
  std::vector<std::int64_t> shape{};
  std::string bytes{};

  static StoredTensor of(std::string name, const Tensor& value);
  static StoredTensor of(std::string name, std::span<const double> values);
  static StoredTensor of(std::string name, std::span<const std::int64_t> values);
  static StoredTensor of(std::string name, std::span<const std::uint64_t> values);
  static StoredTensor of(std::string name, std::string_view text);

  /// The elements; @throws DataError unless dtype and rank are what the call says
  [[nodiscard]] Tensor tensor() const;
  [[nodiscard]] std::vector<double> doubles() const;
  [[nodiscard]] std::vector<std::int64_t> integers() const;
  [[nodiscard]] std::vector<std::uint64_t> words() const;
  [[nodiscard]] std::string text() const;

  friend bool operator==(const StoredTensor&, const StoredTensor&) = default;
};

/// A safetensors file: named arrays in the order of the file, and string metadata.
/// Source: github.com/huggingface/safetensors, "Format": u64 header length, JSON header, data
/// without gaps.
struct SafeTensors {
  std::map<std::string, std::string> metadata{};
  std::vector<StoredTensor> tensors{};

  /// @throws DataError if there is none of that name
  [[nodiscard]] const StoredTensor& at(std::string_view name) const;
  [[nodiscard]] const StoredTensor* find(std::string_view name) const;

  friend bool operator==(const SafeTensors&, const SafeTensors&) = default;
};

/// The bytes of the file. The header is padded with spaces so that the data begin at a multiple of
/// 8; arrays follow each other in the given order, so give those of 8-byte elements first where
/// alignment matters.
/// @throws DataError for a duplicate name or an array whose bytes do not fit its shape
std::string to_safetensors(const SafeTensors& file);

/// Trusts nothing: lengths, types, shapes and offsets must describe the data exactly, without gaps
/// or overlaps.
/// @throws DataError saying what is wrong where
SafeTensors parse_safetensors(std::string_view bytes);

}  // namespace ebb::train
