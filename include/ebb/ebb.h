#pragma once

#include "core/error.h"
#include "core/key.h"
#include "core/math.h"
#include "core/params.h"
#include "core/sha256.h"
#include "core/sums.h"
#include "core/tape.h"
#include "core/tensor.h"
#include "data/batches.h"
#include "data/cifar.h"
#include "data/idx.h"
#include "data/images.h"
