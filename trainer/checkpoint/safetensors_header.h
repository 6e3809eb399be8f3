// The header of a safetensors file: JSON that names each tensor's type, shape and place in the bytes that follow it
// (https://github.com/huggingface/safetensors, "Format"). Reading is stricter than the reference implementation: it refuses
// duplicate names and unknown fields, as the format's text does but the reference does not.
#pragma once
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lacuna {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

struct StoredTensor {
  at::ScalarType dtype = at::ScalarType::Undefined;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes, counted from the end of the header
};

struct SafetensorsHeader {
  std::map<std::string, StoredTensor> tensors;
  std::map<std::string, std::string> metadata;
  uint64_t data_bytes() const;
};

// "F32" and the like. The second throws Error(checkpoint) for a type that LibTorch or this reader does not have, the first
// Error(internal).
std::string_view dtype_name(at::ScalarType dtype);
at::ScalarType dtype_from_name(std::string_view name);

// Nothing where the product does not fit into 63 bits or a size is negative.
std::optional<uint64_t> num_bytes(at::ScalarType dtype, std::span<const int64_t> shape);

// Checks everything: the tensors must fill `data_bytes` bytes from 0 without a hole or an overlap. Throws Error(checkpoint);
// `origin` is the file's name in messages.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes, const std::string& origin);

// Gives each tensor its place, largest alignment first and then by name, which is the order that is returned.
std::vector<std::string> place_tensors(SafetensorsHeader& header);
// JSON in the order of the places, padded with spaces to a multiple of 8 bytes. The same tensors give the same bytes, and those
// of the reference implementation.
std::string format_safetensors_header(const SafetensorsHeader& header, const std::vector<std::string>& order);

}  // namespace lacuna
