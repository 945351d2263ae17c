#include "train/state_file.h"

#include <utility>
#include <vector>

#include "train/checkpoint.h"
#include "train/files.h"
#include "train/safetensors.h"

namespace ebb::train {

void save_state(const std::string& path, const RunState& state, const ExtraState& extra) {
  Checkpoint checkpoint = to_checkpoint(state, "{}");
  std::vector<StoredTensor> members;
  for (const auto& [name, value] : extra) members.push_back(StoredTensor::of(name, value));
  checkpoint.add_group("extra", std::move(members));
  write_file(path, to_bytes(checkpoint));
}

ExtraState load_state(const std::string& path, RunState& state) {
  const Checkpoint checkpoint = parse_checkpoint(read_file(path));
  ExtraState extra;
  for (const StoredTensor& stored : checkpoint.group("extra"))
    extra.emplace(stored.name, stored.tensor());
  restore(state, checkpoint);
  return extra;
}

}  // namespace ebb::train
