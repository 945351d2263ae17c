#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "data/images.h"

namespace ebb {

/// Which labels a CIFAR binary file holds, and which of them are wanted.
enum class CifarLabels : std::uint8_t {
  ten,     ///< CIFAR-10: a record is 1 label byte and 3,072 pixel bytes
  coarse,  ///< CIFAR-100's 20 superclasses: a record is 1 coarse byte, 1 fine byte and 3,072 pixel
           ///< bytes
  fine,    ///< CIFAR-100's 100 classes, from the same records
};

/// An empty set of 32 x 32 RGB images with the classes of `labels` and the spec's normalisation,
/// which serves both CIFAR sets: mean (0.4914, 0.4822, 0.4465), std (0.2023, 0.1994, 0.2010).
ImageSet cifar_image_set(CifarLabels labels, std::string name);

/// Appends the records of one unpacked CIFAR binary file; the file's planes R, G, B become
/// channels-last pixels. The number of records is what the size says. `file` is for messages.
/// Source: A. Krizhevsky, "CIFAR-10 and CIFAR-100 datasets", section "Binary version".
/// @throws DataError when the size is no whole number of records, or a label is none of its
/// classes; `set` is then unchanged
void append_cifar(ImageSet& set, std::span<const std::byte> records, CifarLabels labels,
                  std::string_view file);

/// Reads files one after another into a set: plain, .gz or .xz. @throws DataError also as
/// read_data_file does, or without files
ImageSet read_cifar(std::span<const std::string> files, CifarLabels labels, std::string name);

}  // namespace ebb
