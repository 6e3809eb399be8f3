#include "trainer/checkpoint/manifest.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "data/error.h"
#include "trainer/checkpoint/safetensors_header.h"

namespace lacuna {
namespace {

using Json = nlohmann::json;
constexpr int kMaxDepth = 8;

// A value of the manifest and the way to it, for messages.
struct Node {
  Json& value;
  std::string path;

  [[noreturn]] void refuse(const std::string& problem) const { throw checkpoint_error(path + " " + problem); }

  const Json::object_t& object() const {
    if (!value.is_object()) refuse("is not an object");
    return value.get_ref<const Json::object_t&>();
  }
  Node at(const std::string& key) const {
    if (!object().contains(key)) refuse("lacks \"" + key + "\"");
    return {value[key], path + ": " + key};
  }
  // Refuses any key but these.
  void only(const std::set<std::string>& keys) const {
    for (const auto& [key, unused] : object()) {
      if (!keys.contains(key)) refuse("has the unknown key \"" + key.substr(0, 200) + "\"");
    }
  }
  std::string text() const {
    if (!value.is_string()) refuse("is not a string");
    return value.get<std::string>();
  }
  int64_t number(int64_t low) const {
    const bool fits = value.is_number_integer() &&
                      !(value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()});
    if (!fits || value.get<int64_t>() < low) refuse("is not a whole number of at least " + std::to_string(low));
    return value.get<int64_t>();
  }
  template <class Each>
  void each_entry(const Each& each) const {
    object();
    for (auto& [key, child] : value.items()) each(key, Node{child, path + ": " + key.substr(0, 200)});
  }
  template <class Each>
  void each_element(const Each& each) const {
    if (!value.is_array()) refuse("is not a list");
    for (Json& child : value) each(Node{child, path});
  }
  std::vector<int64_t> sizes() const {
    std::vector<int64_t> numbers;
    each_element([&](const Node& node) { numbers.push_back(node.number(0)); });
    return numbers;
  }
};

// The DOM of a text that is not trusted: depth is limited and no object has a key twice.
Json parse(const std::string& text, const std::string& origin) {
  std::vector<std::set<std::string>> keys;
  const auto inspect = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kMaxDepth) throw checkpoint_error(origin + " is nested too deeply");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      throw checkpoint_error(origin + " has the key " + value.dump().substr(0, 200) + " twice");
    }
    return true;
  };
  try {
    return Json::parse(text, inspect);
  } catch (const Json::parse_error& error) {
    throw checkpoint_error(origin + " is not JSON at byte " + std::to_string(error.byte));
  } catch (const Json::out_of_range&) {
    throw checkpoint_error(origin + " holds a number beyond 64 bits");
  }
}

ManifestTensor read_tensor(const Node& node) {
  node.only({"dtype", "shape", "slices"});
  ManifestTensor tensor{.dtype = node.at("dtype").text(), .shape = node.at("shape").sizes(), .slices = {}};
  node.at("slices").each_element([&](const Node& slice) {
    slice.only({"file", "offset", "shape"});
    tensor.slices.push_back({slice.at("file").text(), slice.at("offset").sizes(), slice.at("shape").sizes()});
  });
  return tensor;
}

[[noreturn]] void refuse(const std::string& name, const std::string& problem) {
  throw checkpoint_error("the tensor \"" + name + "\" " + problem);
}

// The slices differ from the whole in at most one dim, and follow each other there.
void check_tensor(const std::string& name, ManifestTensor& tensor, const std::map<std::string, ManifestFile>& files) {
  if (!num_bytes(dtype_from_name(tensor.dtype), tensor.shape)) refuse(name, "is too large");
  if (tensor.slices.empty()) refuse(name, "has no slices");
  std::ranges::sort(tensor.slices, {}, [](const ManifestSlice& slice) { return std::pair(slice.offset, slice.shape); });

  const size_t num_dims = tensor.shape.size();
  size_t cut = num_dims;  // the dim along which there are several slices; num_dims = there is one, and it is the whole
  std::vector<int64_t> next(num_dims, 0);
  std::set<std::string> seen;
  for (const ManifestSlice& slice : tensor.slices) {
    if (!files.contains(slice.file)) refuse(name, "has a slice in the unlisted file \"" + slice.file + "\"");
    if (!seen.insert(slice.file).second) refuse(name, "has two slices in the file \"" + slice.file + "\"");
    if (slice.offset.size() != num_dims || slice.shape.size() != num_dims) refuse(name, "has a slice of another rank");
    for (size_t dim = 0; dim < num_dims; ++dim) {
      if (slice.offset[dim] == 0 && slice.shape[dim] == tensor.shape[dim]) continue;
      if (cut != num_dims && cut != dim) refuse(name, "is cut along two dims");
      cut = dim;
    }
  }
  if (cut == num_dims) {
    if (tensor.slices.size() > 1) refuse(name, "is there twice, in " + tensor.slices[0].file + " and " + tensor.slices[1].file);
    return;
  }
  int64_t end = 0;
  for (const ManifestSlice& slice : tensor.slices) {
    if (slice.offset[cut] != end) refuse(name, "has slices that leave a gap or overlap at " + std::to_string(end));
    if (slice.shape[cut] > tensor.shape[cut] - end) refuse(name, "has a slice beyond its end");
    end += slice.shape[cut];
  }
  if (end != tensor.shape[cut]) refuse(name, "lacks its slices from " + std::to_string(end) + " on");
}

Manifest read_fields(const std::string& text, const std::string& origin) {
  if (text.size() > kMaxManifestBytes) throw checkpoint_error(origin + " is larger than any manifest");
  Json json = parse(text, origin);
  const Node root{json, origin};
  if (const int64_t format = root.at("format_version").number(0); format != kCheckpointFormat) {
    root.refuse("has the format version " + std::to_string(format) + "; this program reads version " +
                std::to_string(kCheckpointFormat));
  }
  root.only({"format_version", "step", "tokens_seen", "layout", "counters", "corpus_hashes", "config", "code_version", "files",
             "tensors"});
  root.at("layout").only({"data", "tensor"});
  Manifest manifest;
  manifest.meta = {.step = root.at("step").number(0),
                   .tokens_seen = root.at("tokens_seen").number(0),
                   .data = root.at("layout").at("data").number(1),
                   .tensor = root.at("layout").at("tensor").number(1),
                   .counters = {},
                   .corpus_hashes = {},
                   .config = root.at("config").text(),
                   .code_version = root.at("code_version").text()};
  root.at("counters").each_entry([&](const std::string& name, const Node& node) {
    manifest.meta.counters[name] = node.number(std::numeric_limits<int64_t>::min());
  });
  root.at("corpus_hashes").each_entry([&](const std::string& name, const Node& node) {
    manifest.meta.corpus_hashes[name] = node.text();
  });
  root.at("files").each_entry([&](const std::string& name, const Node& node) {
    node.only({"size", "sha256"});
    manifest.files[name] = {static_cast<uint64_t>(node.at("size").number(0)), node.at("sha256").text()};
  });
  root.at("tensors").each_entry([&](const std::string& name, const Node& node) { manifest.tensors[name] = read_tensor(node); });
  return manifest;
}

void check(Manifest& manifest) {
  for (const auto& [name, file] : manifest.files) {
    const bool plain = !name.empty() && name.front() != '.' && name.find_first_of(std::string("/\0", 2)) == std::string::npos;
    if (!plain) throw checkpoint_error("the file \"" + name.substr(0, 200) + "\" is not a plain name");
  }
  for (auto& [name, tensor] : manifest.tensors) check_tensor(name, tensor, manifest.files);
}

}  // namespace

std::string to_json(const Manifest& manifest) {
  const CheckpointMeta& meta = manifest.meta;
  Json json = {{"format_version", kCheckpointFormat},
               {"step", meta.step},
               {"tokens_seen", meta.tokens_seen},
               {"layout", {{"data", meta.data}, {"tensor", meta.tensor}}},
               {"counters", meta.counters},
               {"corpus_hashes", meta.corpus_hashes},
               {"config", meta.config},
               {"code_version", meta.code_version},
               {"files", Json::object()},
               {"tensors", Json::object()}};
  for (const auto& [name, file] : manifest.files) json["files"][name] = {{"size", file.size}, {"sha256", file.sha256}};
  for (const auto& [name, tensor] : manifest.tensors) {
    Json slices = Json::array();
    for (const ManifestSlice& slice : tensor.slices) {
      slices.push_back({{"file", slice.file}, {"offset", slice.offset}, {"shape", slice.shape}});
    }
    json["tensors"][name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"slices", std::move(slices)}};
  }
  try {
    return json.dump(1) + "\n";
  } catch (const Json::type_error&) {
    throw usage_error("a checkpoint cannot hold text that is not UTF-8; rename the corpus or the run");
  }
}

Manifest parse_manifest(const std::string& text, const std::string& origin) {
  Manifest manifest = read_fields(text, origin);
  try {
    check(manifest);
  } catch (const Error& error) {
    throw checkpoint_error(origin + " is wrong: " + error.what());
  }
  return manifest;
}

Manifest merge_parts(const std::vector<std::string>& parts) {
  Manifest whole;
  for (size_t i = 0; i < parts.size(); ++i) {
    Manifest part = read_fields(parts[i], "the part of rank " + std::to_string(i));
    if (i == 0) whole.meta = part.meta;
    whole.files.merge(part.files);
    for (auto& [name, tensor] : part.tensors) {
      const auto [entry, added] = whole.tensors.try_emplace(name, tensor);
      if (added) continue;
      if (entry->second.shape != tensor.shape || entry->second.dtype != tensor.dtype) {
        refuse(name, "has another shape or type on rank " + std::to_string(i));
      }
      std::ranges::move(tensor.slices, std::back_inserter(entry->second.slices));
    }
  }
  check(whole);
  return whole;
}

}  // namespace lacuna
