#pragma once

#include <string>
#include <vector>

#include "data/images.h"

namespace ebb {

/// Images that somebody brings to be classified; their labels are all 0.
struct UnlabelledImages {
  ImageSet set{};
  std::vector<std::string> names{};  ///< of each: its place in the file, or of a folder the picture
};

/// Reads images for a network that was trained on a set like `like`, whose normalisation they take:
/// a JPEG or PNG picture, a folder of such, an IDX file of images, or a CIFAR binary of as many
/// classes, plain, .gz or .xz. Pictures become the largest centred square, scaled to the network's
/// (see centred_square), and, for a network of one channel, grey: 0.299 R + 0.587 G + 0.114 B,
/// rounded half up.
/// @throws DataError for anything else, or images of another shape or kind of pixels
UnlabelledImages read_images_like(const ImageSet& like, const std::string& path);

/// What the classes of a data set that open_data opens are called: the folders of its pictures, the
/// lines of CIFAR's `batches.meta.txt` or `fine_label_names.txt`, or else their numbers.
std::vector<std::string> class_names(const std::string& data, int classes);

}  // namespace ebb
