#include "trainer/checkpoint/safetensors.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "data/error.h"
#include "data/sha256.h"

namespace lacuna {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr size_t kBlockBytes = size_t{4} << 20;
using LengthBytes = std::array<std::byte, 8>;

// Writes in blocks, so that each is hashed while it is still in the processor's cache.
void write_hashed(NewFile& file, Sha256& hash, std::span<const std::byte> bytes) {
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kBlockBytes))) {
    const auto block = bytes.first(std::min(bytes.size(), kBlockBytes));
    hash.update(block.data(), block.size());
    file.write(block);
  }
}

}  // namespace

FileDigest write_safetensors(const FileIo& io, const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                             const std::map<std::string, std::string>& metadata) {
  SafetensorsHeader header{.tensors = {}, .metadata = metadata};
  std::map<std::string, const at::Tensor*> values;
  for (const auto& [name, value] : tensors) {
    if (name == "__metadata__" || !values.emplace(name, &value).second || !value.is_cpu() || !value.is_contiguous()) {
      throw Error(ExitCode::internal, "the tensor \"" + name + "\" cannot be written: its name is taken or it is not contiguous");
    }
    header.tensors[name] = {.dtype = value.scalar_type(), .shape = value.sizes().vec()};
  }
  const std::vector<std::string> order = place_tensors(header);
  const std::string text = format_safetensors_header(header, order);
  if (text.size() > kMaxHeaderBytes) throw Error(ExitCode::internal, "too many tensors for one safetensors file");

  NewFile file(io, path);
  Sha256 hash;
  write_hashed(file, hash, std::bit_cast<LengthBytes>(uint64_t{text.size()}));
  write_hashed(file, hash, std::as_bytes(std::span(text)));
  for (const std::string& name : order) {
    const at::Tensor& value = *values.at(name);
    write_hashed(file, hash, {static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
  }
  file.finish();
  return {.size = 8 + text.size() + header.data_bytes(), .sha256 = hash.hex()};
}

SafetensorsFile::SafetensorsFile(InputFile file, uint64_t max_header_bytes) : file_(std::move(file)) {
  const std::string origin = file_.path().string();
  if (file_.size() < 8) throw checkpoint_error(origin + " is too short for a safetensors file");
  LengthBytes bytes;
  file_.read(0, bytes);
  const auto length = std::bit_cast<uint64_t>(bytes);
  if (length > max_header_bytes || length > file_.size() - 8) {
    throw checkpoint_error(origin + ": its header claims " + std::to_string(length) + " bytes; the file has " +
                           std::to_string(file_.size()) + " and the limit is " + std::to_string(max_header_bytes));
  }
  std::string text(length, '\0');
  file_.read(8, std::as_writable_bytes(std::span(text)));
  data_start_ = 8 + length;
  header_ = parse_safetensors_header(text, file_.size() - data_start_, origin);
}

const StoredTensor& SafetensorsFile::find(const std::string& name) const {
  const auto entry = header_.tensors.find(name);
  if (entry == header_.tensors.end()) throw checkpoint_error(file_.path().string() + " has no tensor \"" + name + "\"");
  return entry->second;
}

at::Tensor SafetensorsFile::read(const std::string& name) const {
  const std::vector<int64_t>& shape = find(name).shape;
  return read(name, std::vector<int64_t>(shape.size(), 0), shape);
}

at::Tensor SafetensorsFile::read(const std::string& name, std::span<const int64_t> offset, std::span<const int64_t> shape) const {
  const StoredTensor& stored = find(name);
  const size_t num_dims = stored.shape.size();
  bool inside = offset.size() == num_dims && shape.size() == num_dims;
  for (size_t i = 0; inside && i < num_dims; ++i) {
    inside = offset[i] >= 0 && shape[i] >= 0 && offset[i] <= stored.shape[i] && shape[i] <= stored.shape[i] - offset[i];
  }
  if (!inside) throw Error(ExitCode::internal, "a box of the tensor \"" + name + "\" lies outside it");
  at::Tensor out = at::empty(at::IntArrayRef(shape.data(), shape.size()), at::TensorOptions().dtype(stored.dtype));
  if (out.numel() == 0) return out;

  // Dims from `cut` on are read whole, so that each run of the box below dim cut - 1 is one stretch of the file.
  size_t cut = num_dims;
  while (cut > 0 && shape[cut - 1] == stored.shape[cut - 1]) --cut;
  const size_t num_outer = cut > 0 ? cut - 1 : 0;
  std::vector<uint64_t> strides(num_dims);  // bytes
  uint64_t stride = out.element_size();
  for (size_t i = num_dims; i-- > 0; stride *= static_cast<uint64_t>(stored.shape[i])) strides[i] = stride;
  uint64_t position = data_start_ + stored.begin;
  for (size_t i = 0; i < num_dims; ++i) position += strides[i] * static_cast<uint64_t>(offset[i]);
  const size_t run = cut > 0 ? strides[cut - 1] * static_cast<uint64_t>(shape[cut - 1]) : out.nbytes();

  auto* target = static_cast<std::byte*>(out.mutable_data_ptr());
  std::vector<int64_t> index(num_outer, 0);
  for (uint64_t done = 0; done < out.nbytes(); done += run) {
    file_.read(position, {target + done, run});
    for (size_t i = num_outer; i-- > 0;) {  // the next run: count up like an odometer
      position += strides[i];
      if (++index[i] < shape[i]) break;
      position -= strides[i] * static_cast<uint64_t>(index[i]);
      index[i] = 0;
    }
  }
  if (stored.dtype == at::ScalarType::Bool) {
    const std::span bytes(target, out.nbytes());
    if (std::ranges::any_of(bytes, [](std::byte value) { return value > std::byte{1}; })) {
      throw checkpoint_error(file_.path().string() + ": the tensor \"" + name + "\" holds a boolean that is neither 0 nor 1");
    }
  }
  return out;
}

}  // namespace lacuna
