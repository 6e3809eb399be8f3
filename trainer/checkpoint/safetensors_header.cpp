#include "trainer/checkpoint/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr size_t kMaxDims = 64;  // LibTorch's own limit for most operations

struct DtypeRow {
  std::string_view name;
  at::ScalarType dtype;
  uint64_t bytes;
};
// In the reference implementation's order, from small to large alignment.
constexpr std::array<DtypeRow, 15> kDtypes = {{
    {"BOOL", at::ScalarType::Bool, 1},
    {"U8", at::ScalarType::Byte, 1},
    {"I8", at::ScalarType::Char, 1},
    {"F8_E5M2", at::ScalarType::Float8_e5m2, 1},
    {"F8_E4M3", at::ScalarType::Float8_e4m3fn, 1},
    {"I16", at::ScalarType::Short, 2},
    {"U16", at::ScalarType::UInt16, 2},
    {"F16", at::ScalarType::Half, 2},
    {"BF16", at::ScalarType::BFloat16, 2},
    {"I32", at::ScalarType::Int, 4},
    {"U32", at::ScalarType::UInt32, 4},
    {"F32", at::ScalarType::Float, 4},
    {"F64", at::ScalarType::Double, 8},
    {"I64", at::ScalarType::Long, 8},
    {"U64", at::ScalarType::UInt64, 8},
}};

const DtypeRow* row_of(std::string_view name) {
  const auto row = std::ranges::find(kDtypes, name, &DtypeRow::name);
  return row == kDtypes.end() ? nullptr : &*row;
}

const DtypeRow& row_of(at::ScalarType dtype) {
  const auto row = std::ranges::find(kDtypes, dtype, &DtypeRow::dtype);
  if (row == kDtypes.end()) {
    throw Error(ExitCode::internal, std::string("safetensors has no name for the type ") + c10::toString(dtype));
  }
  return *row;
}

// Takes the parser's events and accepts exactly one object of entries, each of exactly three fields, and string metadata.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& origin) : origin_(origin) {}
  SafetensorsHeader header;

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return unexpected("a fraction or a number beyond 64 bits"); }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::offsets && num_offsets_ < 2) {
      (num_offsets_++ == 0 ? tensor_.begin : tensor_.end) = value;
    } else if (place_ == Place::shape && tensor_.shape.size() < kMaxDims && value <= std::numeric_limits<int64_t>::max()) {
      tensor_.shape.push_back(static_cast<int64_t>(value));
    } else {
      return unexpected("the number " + std::to_string(value));
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      if (!header.metadata.emplace(field_, value).second) refuse("names the metadata " + quoted(field_) + " twice");
    } else if (place_ == Place::entry && field_ == "dtype") {
      const DtypeRow* row = row_of(value);
      if (!row) refuse("has the type " + quoted(value) + ", which cannot be read here," + in_tensor());
      tensor_.dtype = row->dtype;
    } else {
      return unexpected("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::outside && !seen_) {
      place_ = Place::top;
      seen_ = true;
    } else if (place_ == Place::top && name_ == "__metadata__") {
      place_ = Place::metadata;
    } else if (place_ == Place::top) {
      place_ = Place::entry;
      tensor_ = {};
      fields_.clear();
      num_offsets_ = 0;
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool key(string_t& key) override {
    if (place_ == Place::top) {
      name_ = key;
      if (header.tensors.contains(key) || (key == "__metadata__" && std::exchange(seen_metadata_, true))) {
        refuse("names the tensor " + quoted(key) + " twice");
      }
    } else if (place_ == Place::entry) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") refuse("has the unknown field " + quoted(key) + in_tensor());
      if (!fields_.insert(key).second) refuse("has the field " + quoted(key) + " twice" + in_tensor());
      field_ = key;
    } else {
      field_ = key;
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::entry) {
      if (fields_.size() != 3 || num_offsets_ != 2) refuse("lacks a field" + in_tensor());
      header.tensors.emplace(name_, std::move(tensor_));
    }
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::entry || field_ == "dtype") return unexpected("an array");
    place_ = field_ == "shape" ? Place::shape : Place::offsets;
    return true;
  }

  bool end_array() override {
    place_ = Place::entry;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    refuse("is not JSON at byte " + std::to_string(position));
  }

  [[noreturn]] void refuse(const std::string& problem) const { throw checkpoint_error(origin_ + ": the header " + problem); }

 private:
  enum class Place { outside, top, metadata, entry, shape, offsets };

  [[noreturn]] bool unexpected(const std::string& what) const { refuse("has " + what + " where none belongs" + in_tensor()); }
  std::string in_tensor() const { return name_.empty() ? "" : " in the entry " + quoted(name_); }
  static std::string quoted(const std::string& text) { return '"' + text.substr(0, 200) + '"'; }

  const std::string& origin_;
  Place place_ = Place::outside;
  bool seen_ = false, seen_metadata_ = false;
  std::string name_, field_;
  StoredTensor tensor_;
  std::set<std::string> fields_;
  int num_offsets_ = 0;
};

}  // namespace

uint64_t SafetensorsHeader::data_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes = std::max(bytes, tensor.end);
  return bytes;
}

std::string_view dtype_name(at::ScalarType dtype) { return row_of(dtype).name; }

at::ScalarType dtype_from_name(std::string_view name) {
  if (const DtypeRow* row = row_of(name)) return row->dtype;
  throw checkpoint_error("the type \"" + std::string(name.substr(0, 40)) + "\" cannot be read here");
}

std::optional<uint64_t> num_bytes(at::ScalarType dtype, std::span<const int64_t> shape) {
  // The size without its zeros must fit too, since strides are made of it.
  int64_t bytes = static_cast<int64_t>(row_of(dtype).bytes);
  bool empty = false;
  for (const int64_t size : shape) {
    empty |= size == 0;
    if (size < 0 || __builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) return std::nullopt;
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes, const std::string& origin) {
  HeaderReader reader(origin);
  // The JSON library takes a zero byte for the end and skips a byte order mark; neither is JSON.
  if (json.find('\0') != std::string_view::npos) reader.refuse("holds a zero byte");
  if (json.empty() || std::string_view("{ \t\r\n").find(json.front()) == std::string_view::npos) {
    reader.refuse("does not begin with {");
  }
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);

  using Entry = std::pair<const std::string, StoredTensor>;
  std::vector<const Entry*> order;
  for (const Entry& entry : reader.header.tensors) order.push_back(&entry);
  std::ranges::sort(order, {}, [](const Entry* entry) { return std::pair(entry->second.begin, entry->second.end); });
  uint64_t expected = 0;
  for (const Entry* entry : order) {
    const auto& [name, tensor] = *entry;
    const std::string bounds = std::to_string(tensor.begin) + " to " + std::to_string(tensor.end);
    if (tensor.begin != expected || tensor.end < tensor.begin) {
      reader.refuse("places the tensor \"" + name + "\" at bytes " + bounds + ", but the one before ends at " +
                    std::to_string(expected));
    }
    if (tensor.end - tensor.begin != num_bytes(tensor.dtype, tensor.shape)) {
      reader.refuse("gives the tensor \"" + name + "\" bytes " + bounds + ", which is not the size of its type and shape");
    }
    expected = tensor.end;
  }
  if (expected != data_bytes) {
    reader.refuse("describes " + std::to_string(expected) + " bytes of data, but the file has " + std::to_string(data_bytes));
  }
  return std::move(reader.header);
}

std::vector<std::string> place_tensors(SafetensorsHeader& header) {
  std::vector<std::string> order;
  for (const auto& [name, tensor] : header.tensors) order.push_back(name);
  std::ranges::stable_sort(order, std::greater{},
                           [&](const std::string& name) { return &row_of(header.tensors.at(name).dtype) - kDtypes.data(); });
  uint64_t place = 0;
  for (const std::string& name : order) {
    StoredTensor& tensor = header.tensors.at(name);
    tensor.begin = place;
    tensor.end = place += num_bytes(tensor.dtype, tensor.shape).value();
  }
  return order;
}

std::string format_safetensors_header(const SafetensorsHeader& header, const std::vector<std::string>& order) {
  std::string text = "{";
  const auto add = [&text](const std::string& name, const nlohmann::ordered_json& value) {
    text += (text.size() > 1 ? "," : "") + nlohmann::ordered_json(name).dump() + ":" + value.dump();
  };
  if (!header.metadata.empty()) add("__metadata__", header.metadata);
  for (const std::string& name : order) {
    const StoredTensor& tensor = header.tensors.at(name);
    add(name, {{"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {tensor.begin, tensor.end}}});
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace lacuna
