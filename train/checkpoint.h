#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/params.h"
#include "train/safetensors.h"

namespace ebb::train {

/// Everything that a run needs to go on bit for bit: parameters, layer state, optimizer state,
/// controller state, cost ledger and iteration, with the resolved configuration they belong to.
/// Stored as one safetensors file whose last tensor is the SHA-256 of all bytes before it.
struct Checkpoint {
  std::int64_t iteration = 0;  ///< optimizer steps done
  std::string config{};        ///< the resolved configuration as JSON text
  /// What belongs to the run beside its state and may be absent, by name: files of older versions
  /// have none.
  std::map<std::string, std::string> notes{};
  std::vector<StoredTensor> tensors{};  ///< by group: "parameter/stem.weight",
                                        ///< "optimizer/momentum/stem.weight", "ledger/..."

  /// The note of that name, or "".
  [[nodiscard]] std::string note(const std::string& name) const;
  /// Those whose name begins with "GROUP/", in their order, under the rest of their name.
  [[nodiscard]] std::vector<StoredTensor> group(std::string_view group) const;
  /// Adds tensors as members of a group.
  void add_group(std::string_view group, std::vector<StoredTensor> members);

  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

/// The bytes of the checkpoint file. Tensors of 8-byte elements go before the others, so that all
/// are aligned.
std::string to_bytes(const Checkpoint& checkpoint);

/// @throws DataError for a foreign, truncated or altered file, saying which
Checkpoint parse_checkpoint(std::string_view bytes);

/// Adds all entries of a store, as "parameter/NAME" and "state/NAME".
void add_params(Checkpoint& checkpoint, const ParamStore& params);

/// Puts stored values back into a store that the same network filled.
/// @throws DataError naming the first entry that is missing, left over or of another shape; the
/// store is then unchanged
void restore_params(const Checkpoint& checkpoint, ParamStore& params);

/// What take_params did, by the entries' names in the order of the store.
struct TakenParams {
  std::vector<std::string> taken{}, kept{};
};

/// Puts stored values into a store that another network filled: every entry whose name, kind and
/// shape are in the checkpoint takes the value it has there, the others keep theirs. @throws
/// DataError if no parameter fits
TakenParams take_params(const Checkpoint& checkpoint, ParamStore& params);

/// SHA-256 over the bytes of all values of a store in its order: the identity of a training result.
std::string weights_sha256(const ParamStore& params);
std::string weights_sha256(const Checkpoint& checkpoint);  ///< of the store it was made of

}  // namespace ebb::train
