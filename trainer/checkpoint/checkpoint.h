// A checkpoint on disk, open for reading: a folder with safetensors files, manifest.json and manifest.sha256. Any layout reads
// its slices, whatever layout wrote them. The files stay open, so that a run that deletes old checkpoints disturbs no reader.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "trainer/checkpoint/manifest.h"
#include "trainer/checkpoint/safetensors.h"

namespace lacuna {

constexpr const char* kManifestName = "manifest.json";
constexpr const char* kManifestHashName = "manifest.sha256";

enum class Verify {
  sizes,  // the manifest's own hash, every file's size and header
  full,   // and every file's hash
};

class Checkpoint {
 public:
  // Throws Error(checkpoint) with the reason where anything is missing, damaged or contradictory.
  static Checkpoint open(const std::filesystem::path& folder, Verify verify);

  const std::filesystem::path& folder() const { return folder_; }
  const CheckpointMeta& meta() const { return manifest_.meta; }
  const Manifest& manifest() const { return manifest_; }
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const { return manifest_.tensors.contains(name); }
  const std::vector<int64_t>& full_shape(const std::string& name) const { return find(name).shape; }

  // Part `part` of `parts` equal ones along `partition_dim`; -1 = the whole tensor. On the CPU, contiguous, as stored. Throws
  // Error(checkpoint) where there is no such tensor, Error(usage) where it does not divide.
  at::Tensor read(const std::string& name, int64_t partition_dim = -1, int64_t part = 0, int64_t parts = 1) const;

 private:
  Checkpoint(std::filesystem::path folder, Manifest manifest) : folder_(std::move(folder)), manifest_(std::move(manifest)) {}
  void open_file(const std::string& name, const ManifestFile& expected, Verify verify);
  void check_slices() const;
  const ManifestTensor& find(const std::string& name) const;

  std::filesystem::path folder_;
  Manifest manifest_;
  std::map<std::string, SafetensorsFile> files_;
};

// The content of manifest.sha256, in the form that `sha256sum --check` reads.
std::string manifest_hash_line(const std::string& manifest_json);

}  // namespace lacuna
