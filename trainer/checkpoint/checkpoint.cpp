#include "trainer/checkpoint/checkpoint.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>

#include "data/error.h"
#include "data/sha256.h"

namespace lacuna {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

}  // namespace

std::string manifest_hash_line(const std::string& manifest_json) {
  Sha256 hash;
  hash.update(manifest_json.data(), manifest_json.size());
  return hash.hex() + "  " + kManifestName + "\n";
}

Checkpoint Checkpoint::open(const std::filesystem::path& folder, Verify verify) {
  const std::filesystem::path path = folder / kManifestName;
  const std::string json = read_text(path, kMaxManifestBytes);
  if (read_text(folder / kManifestHashName, 1024) != manifest_hash_line(json)) {
    throw checkpoint_error(path.string() + " does not have the hash that " + kManifestHashName + " states");
  }
  Checkpoint checkpoint(folder, parse_manifest(json, path.string()));
  for (const auto& [name, file] : checkpoint.manifest_.files) checkpoint.open_file(name, file, verify);
  checkpoint.check_slices();
  return checkpoint;
}

void Checkpoint::open_file(const std::string& name, const ManifestFile& expected, Verify verify) {
  InputFile file(folder_ / name);
  if (file.size() != expected.size) {
    throw checkpoint_error(file.path().string() + " has " + std::to_string(file.size()) + " bytes instead of " +
                           std::to_string(expected.size));
  }
  if (verify == Verify::full && file.sha256() != expected.sha256) {
    throw checkpoint_error(file.path().string() + " does not have the hash that " + kManifestName + " states");
  }
  files_.emplace(name, SafetensorsFile(std::move(file)));
}

void Checkpoint::check_slices() const {
  size_t num_slices = 0, num_stored = 0;
  for (const auto& [name, tensor] : manifest_.tensors) {
    for (const ManifestSlice& slice : tensor.slices) {
      const auto& stored = files_.at(slice.file).header().tensors;
      const auto entry = stored.find(name);
      if (entry == stored.end() || entry->second.shape != slice.shape || dtype_name(entry->second.dtype) != tensor.dtype) {
        throw checkpoint_error((folder_ / slice.file).string() + " lacks the tensor \"" + name + "\" of shape " +
                               shape_text(slice.shape) + " and type " + tensor.dtype);
      }
      ++num_slices;
    }
  }
  for (const auto& [name, file] : files_) num_stored += file.header().tensors.size();
  if (num_stored != num_slices) throw checkpoint_error(folder_.string() + " stores tensors that its manifest does not list");
}

const ManifestTensor& Checkpoint::find(const std::string& name) const {
  const auto tensor = manifest_.tensors.find(name);
  if (tensor == manifest_.tensors.end()) {
    throw checkpoint_error(folder_.string() + " has no tensor \"" + name +
                           "\"; it was saved by a run with another architecture, objective or optimizer");
  }
  return tensor->second;
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : manifest_.tensors) names.push_back(name);
  return names;
}

at::Tensor Checkpoint::read(const std::string& name, int64_t partition_dim, int64_t part, int64_t parts) const {
  const ManifestTensor& tensor = find(name);
  const size_t num_dims = tensor.shape.size();
  std::vector<int64_t> begin(num_dims, 0), shape = tensor.shape;
  if (partition_dim >= 0) {
    const auto dim = static_cast<size_t>(partition_dim);
    if (dim >= num_dims || parts < 1 || part < 0 || part >= parts || shape[dim] % parts != 0) {
      throw usage_error("the tensor \"" + name + "\" of shape " + shape_text(shape) + " cannot be cut into " +
                        std::to_string(parts) + " equal parts along dim " + std::to_string(partition_dim) +
                        "; choose a parallel.tensor that divides it");
    }
    shape[dim] /= parts;
    begin[dim] = part * shape[dim];
  }

  at::Tensor out;
  for (const ManifestSlice& slice : tensor.slices) {
    // The part of the wanted box that lies in this slice, seen from the slice and from the box.
    std::vector<int64_t> from(num_dims), to(num_dims), size(num_dims);
    bool empty = false;
    for (size_t dim = 0; dim < num_dims; ++dim) {
      const int64_t low = std::max(begin[dim], slice.offset[dim]);
      size[dim] = std::min(begin[dim] + shape[dim], slice.offset[dim] + slice.shape[dim]) - low;
      from[dim] = low - slice.offset[dim];
      to[dim] = low - begin[dim];
      empty |= size[dim] <= 0;
    }
    if (empty) continue;
    const at::Tensor piece = files_.at(slice.file).read(name, from, size);
    if (size == shape) return piece;
    if (!out.defined()) out = at::empty(shape, piece.options());
    at::Tensor target = out;
    for (size_t dim = 0; dim < num_dims; ++dim) target = target.narrow(static_cast<int64_t>(dim), to[dim], size[dim]);
    target.copy_(piece);
  }
  return out.defined() ? out : at::empty(shape, at::TensorOptions().dtype(dtype_from_name(tensor.dtype)));
}

}  // namespace lacuna
