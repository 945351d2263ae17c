#include "train/checkpoint.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/sha256.h"

namespace ebb::train {
namespace {

constexpr std::string_view kFormat = "ebb-checkpoint-1";
constexpr std::string_view kChecksum = "zz_sha256";
constexpr std::size_t kDigits = 64;

std::string group_of(ParamStore::Kind kind) {
  return kind == ParamStore::Kind::parameter ? "parameter" : "state";
}

std::string stored_name(const ParamStore::Entry& entry) {
  return concat(group_of(entry.kind), '/', entry.name);
}

const StoredTensor* find_stored(const Checkpoint& checkpoint, const ParamStore::Entry& entry) {
  const auto found = std::ranges::find(checkpoint.tensors, stored_name(entry), &StoredTensor::name);
  return found == checkpoint.tensors.end() ? nullptr : &*found;
}

const std::string& metadata(const SafeTensors& file, const std::string& key) {
  const auto found = file.metadata.find(key);
  require<DataError>(found != file.metadata.end(), "[checkpoint] expected '", key,
                     "' in the metadata, the file has none");
  return found->second;
}

}  // namespace

std::string Checkpoint::note(const std::string& name) const {
  const auto found = notes.find(name);
  return found == notes.end() ? "" : found->second;
}

std::vector<StoredTensor> Checkpoint::group(std::string_view group) const {
  const std::string prefix = concat(group, '/');
  std::vector<StoredTensor> members;
  for (const StoredTensor& tensor : tensors) {
    if (!tensor.name.starts_with(prefix)) continue;
    members.push_back(tensor);
    members.back().name.erase(0, prefix.size());
  }
  return members;
}

void Checkpoint::add_group(std::string_view group, std::vector<StoredTensor> members) {
  for (StoredTensor& member : members) {
    member.name = concat(group, '/', member.name);
    tensors.push_back(std::move(member));
  }
}

std::string to_bytes(const Checkpoint& checkpoint) {
  SafeTensors file;
  file.metadata = checkpoint.notes;
  file.metadata["format"] = kFormat;
  file.metadata["iteration"] = to_text(checkpoint.iteration);
  file.metadata["config"] = checkpoint.config;
  file.tensors = checkpoint.tensors;
  std::stable_partition(file.tensors.begin(), file.tensors.end(),
                        [](const StoredTensor& tensor) { return size_of(tensor.dtype) == 8; });
  file.tensors.push_back(StoredTensor::of(std::string(kChecksum), std::string(kDigits, '0')));
  std::string bytes = to_safetensors(file);
  const std::size_t body = bytes.size() - kDigits;
  return bytes.replace(body, kDigits, sha256_hex(std::string_view(bytes).substr(0, body)));
}

Checkpoint parse_checkpoint(std::string_view bytes) {
  SafeTensors file = parse_safetensors(bytes);
  const auto format = file.metadata.find("format");
  require<DataError>(format != file.metadata.end() && format->second == kFormat,
                     "[checkpoint] expected the format '", kFormat, "', got ",
                     format == file.metadata.end() ? "a safetensors file without one"
                                                   : concat("'", format->second, "'"),
                     "; this file is no checkpoint of this version of Ebb");
  const bool has_checksum = !file.tensors.empty() && file.tensors.back().name == kChecksum &&
                            file.tensors.back().bytes.size() == kDigits;
  require<DataError>(has_checksum && file.tensors.back().text() ==
                                         sha256_hex(bytes.substr(0, bytes.size() - kDigits)),
                     "[checkpoint] the checksum at its end does not fit the content: the file was "
                     "altered or damaged; use another checkpoint");
  file.tensors.pop_back();

  Checkpoint checkpoint{.config = metadata(file, "config"), .tensors = std::move(file.tensors)};
  const std::string& iteration = metadata(file, "iteration");
  require<DataError>(parse_number(iteration, checkpoint.iteration) && checkpoint.iteration >= 0,
                     "[checkpoint] expected the iteration to be an integer of 0 and more, got '",
                     iteration, "'");
  checkpoint.notes = std::move(file.metadata);
  for (const char* known : {"format", "iteration", "config"}) checkpoint.notes.erase(known);
  return checkpoint;
}

void add_params(Checkpoint& checkpoint, const ParamStore& params) {
  for (const ParamStore::Entry& entry : params.entries()) {
    checkpoint.add_group(group_of(entry.kind), {StoredTensor::of(entry.name, entry.value)});
  }
}

void restore_params(const Checkpoint& checkpoint, ParamStore& params) {
  std::vector<Tensor> values;
  for (const ParamStore::Entry& entry : params.entries()) {
    const StoredTensor* stored = find_stored(checkpoint, entry);
    require<DataError>(stored != nullptr, "[checkpoint] expected '", stored_name(entry),
                       "', the file has none; it belongs to another network");
    values.push_back(stored->tensor());
    require<DataError>(values.back().shape() == entry.value.shape(), "[checkpoint] '",
                       stored_name(entry), "': expected shape ", entry.value.shape(), ", got ",
                       values.back().shape(), "; it belongs to another network");
  }
  for (const StoredTensor& stored : checkpoint.tensors) {
    const std::size_t slash = stored.name.find('/');
    const std::string_view group = std::string_view(stored.name).substr(0, slash);
    if (group != "parameter" && group != "state") continue;
    const std::optional<ParamId> id = params.find(std::string_view(stored.name).substr(slash + 1));
    require<DataError>(id && group_of(params.entry(*id).kind) == group,
                       "[checkpoint] the network has no '", stored.name,
                       "'; the file belongs to another network");
  }
  for (std::size_t i = 0; i < values.size(); ++i)
    params[ParamId{static_cast<std::int32_t>(i)}] = std::move(values[i]);
}

TakenParams take_params(const Checkpoint& checkpoint, ParamStore& params) {
  TakenParams result;
  bool parameters = false;
  for (std::size_t i = 0; i < params.entries().size(); ++i) {
    const ParamStore::Entry& entry = params.entries()[i];
    const StoredTensor* stored = find_stored(checkpoint, entry);
    Tensor value = stored != nullptr ? stored->tensor() : Tensor();
    const bool fits = stored != nullptr && value.shape() == entry.value.shape();
    (fits ? result.taken : result.kept).push_back(entry.name);
    parameters = parameters || (fits && entry.kind == ParamStore::Kind::parameter);
    if (fits) params[ParamId{static_cast<std::int32_t>(i)}] = std::move(value);
  }
  require<DataError>(
      parameters, "[checkpoint] no parameter has name and shape of one of this network, which has ",
      params.entries().size(), ", '", params.entries().front().name,
      "' first; it belongs to a network of other sizes");
  return result;
}

std::string weights_sha256(const ParamStore& params) {
  Sha256 hash;
  for (const ParamStore::Entry& entry : params.entries())
    hash.update(std::as_bytes(entry.value.values()));
  return hash.hex();
}

std::string weights_sha256(const Checkpoint& checkpoint) {
  Sha256 hash;
  for (const StoredTensor& stored : checkpoint.tensors) {
    if (stored.name.starts_with("parameter/") || stored.name.starts_with("state/"))
      hash.update(std::as_bytes(std::span(stored.bytes)));
  }
  return hash.hex();
}

}  // namespace ebb::train
