#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/batches.h"
#include "data/images.h"

namespace ebb {

/// A training set, its test set, and how training images are to be varied.
struct DataSet {
  std::string name{};
  ImageSet train{}, test{};
  Augmentation augmentation{};
  bool scaled = false;  ///< pictures of any size, made squares of one
};

/// "mnist: 60000 training and 8000 test images of [28, 28, 1], 10 classes"
std::string describe(const DataSet& data);

/// Opens what `--data` names: `synthetic` or `synthetic-cifar`, the embedded sets of 20,000
/// training and 2,000 test images (always the same ones), or a folder, in which it finds by their
/// usual names, plain, .gz or .xz (of several, the first of these):
///
/// | files | set | name | augmentation | normalisation |
/// |---|---|---|---|---|
/// | `train-images*idx*`, `train-labels*idx*`, `t10k-…` or `test-…` alike | IDX | the folder's | none | measured on the training set |
/// | `data_batch_1.bin` … `data_batch_N.bin`, `test_batch.bin` | CIFAR-10 | cifar-10 | crop and flip | the spec's |
/// | `train.bin`, `test.bin` | CIFAR-100, fine labels | cifar-100 | crop and flip | the spec's |
/// | `train/CLASS/*`, and `test/CLASS/*` or `val/CLASS/*`, JPEG or PNG | pictures, see read_image_folder | the folder's | crop and flip | measured on the training set |
///
/// The synthetic sets measure their normalisation on the training set; synthetic-cifar is cropped
/// and flipped. Pictures are scaled to squares of `side` x `side` pixels.
/// @throws DataError when the folder is missing, holds none or several of these sets or a part of
/// one, or a file is not what it should be
DataSet open_data(std::string_view where, std::int64_t side = 224);

}  // namespace ebb
