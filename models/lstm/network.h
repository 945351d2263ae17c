#pragma once

#include <cstdint>

#include "core/key.h"
#include "core/params.h"
#include "core/setting.h"
#include "train/tasks/text.h"

namespace ebb {

struct LstmConfig {
  std::int64_t layers = 1, units = 256;
  std::int64_t embedding = 0;  ///< width of a token; 0: units
  Setting dropout = 0;         ///< of the embedded tokens and of what each layer gives
};

/// A language model of a learned embedding, LSTM layers and a linear decoder: sites `lstm0.input`,
/// `lstm0.hidden`, `lstm1.input`,
/// ..., `decoder` (tag last). Embedding and decoder start uniform over +-0.1, biases of the decoder
/// at zero, LSTM layers uniform over
/// +-1 / sqrt(units). Source: the Penn Treebank model of wolfecameron/BetterPrecisionSchedules,
/// after Zaremba, Sutskever, Vinyals, "Recurrent neural network regularization", 2014.
/// @throws ConfigError unless layers, units >= 1, embedding >= 0 and 0 <= dropout < 1
train::RecurrentNetwork make_lstm(const LstmConfig& config, std::int64_t vocabulary,
                                  ParamStore& params, Key key);

}  // namespace ebb
