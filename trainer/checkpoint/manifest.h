// What a checkpoint says of itself, in manifest.json: where each tensor's slices lie, the run's counters, and the hash of every
// file. A reader needs nothing else to give any layout its part.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace lacuna {

constexpr int64_t kCheckpointFormat = 1;
constexpr uint64_t kMaxManifestBytes = uint64_t{64} << 20;

// A box of a tensor, stored under the tensor's name in `file`.
struct ManifestSlice {
  std::string file;
  std::vector<int64_t> offset, shape;  // per dim
};

struct ManifestTensor {
  std::string dtype;                  // as safetensors names it
  std::vector<int64_t> shape;         // of the whole tensor
  std::vector<ManifestSlice> slices;  // by offset; together they are the tensor, cut along at most one dim
};

struct ManifestFile {
  uint64_t size = 0;
  std::string sha256;  // hex
};

// The part that the trainer fills.
struct CheckpointMeta {
  int64_t step = 0;
  int64_t tokens_seen = 0;
  int64_t data = 1, tensor = 1;  // the layout that wrote it
  std::map<std::string, int64_t> counters;
  std::map<std::string, std::string> corpus_hashes;  // corpus -> SHA-256 of its content
  std::string config;                                // resolved, TOML
  std::string code_version;
};

struct Manifest {
  CheckpointMeta meta;
  std::map<std::string, ManifestTensor> tensors;
  std::map<std::string, ManifestFile> files;  // plain names in the checkpoint's folder
};

std::string to_json(const Manifest& manifest);
// Refuses unknown and repeated keys, names of files elsewhere, and slices that do not fill their tensor exactly. Throws
// Error(checkpoint); `origin` is the file's name in messages.
Manifest parse_manifest(const std::string& json, const std::string& origin);
// The whole of what each rank described with to_json(): its own file and its own slices. The first part gives the meta.
Manifest merge_parts(const std::vector<std::string>& parts);

}  // namespace lacuna
