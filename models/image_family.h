#pragma once

#include <string>
#include <vector>

#include "train/app/run_main.h"

namespace ebb::cli {

/// A program that trains classifiers of images, by the names of models/classifier.h.
ModelFamily image_family(train::Program program);

}  // namespace ebb::cli
