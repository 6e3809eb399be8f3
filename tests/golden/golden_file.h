// Reads the files that make_golden.py wrote. It shares nothing with the checkpoint reader, so neither can hide a fault of the
// other.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace lacuna::testing {

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path + " is missing; run tests from the source root");
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), sizeof length);
    header_ = nlohmann::json::parse(bytes_.begin() + 8, bytes_.begin() + 8 + static_cast<std::ptrdiff_t>(length));
    data_ = 8 + length;
  }

  at::Tensor operator[](const std::string& name) const {
    const auto& entry = header_.at(name);
    const auto type = entry.at("dtype").get<std::string>();
    const auto kind = type == "F64" ? at::kDouble : type == "F32" ? at::kFloat : type == "F16" ? at::kHalf : at::kInt;
    auto values = at::empty(entry.at("shape").get<std::vector<int64_t>>(), kind);
    std::memcpy(values.data_ptr(), bytes_.data() + data_ + entry.at("data_offsets")[0].get<size_t>(), values.nbytes());
    return values;
  }

  // What follows `prefix` in the names that begin with it.
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> found;
    for (const auto& [name, entry] : header_.items()) {
      if (name.starts_with(prefix)) found.push_back(name.substr(prefix.size()));
    }
    return found;
  }

 private:
  std::string bytes_;
  nlohmann::json header_;
  size_t data_ = 0;
};

}  // namespace lacuna::testing
