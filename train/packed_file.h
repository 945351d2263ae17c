#pragma once

#include <string>

#include "core/shape.h"
#include "quant/formats/packed.h"
#include "train/safetensors.h"

namespace ebb::train {

/// Adds a matrix to a file, as tensors NAME.codes, NAME.shape and the scales that it has: that of a
/// parameter of this shape, whose first axis is its rows. docs/FORMATS.md has the layout.
void add_packed(SafeTensors& file, const std::string& name, const Shape& shape,
                const PackedMatrix& packed);

/// What a file of packed matrices says of them all. Tensors of 8-byte elements go to the front, so
/// that all are aligned.
void finish_packed(SafeTensors& file, Format format, GridStyle grid);

/// A file with its packed matrices decoded to tensors F32 of their names; one without any is
/// returned as it is. @throws DataError for tensors that do not fit each other or the format
SafeTensors unpacked(SafeTensors file);

}  // namespace ebb::train
