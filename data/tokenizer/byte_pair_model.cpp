#include "data/tokenizer/byte_pair_model.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/error.h"

namespace lacuna {
namespace {

using Json = nlohmann::json;

constexpr uintmax_t kMaxFileBytes = 256 << 20;
constexpr const char* kMend = " Use GPT-2's vocab.json and merges.txt, another tokenizer.json, or --tokenizer sentencepiece.";

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw data_error(where + ": " + what + "." + kMend);
}

std::string read_file(const std::filesystem::path& path) {
  std::error_code failed;
  const uintmax_t size = std::filesystem::file_size(path, failed);
  if (failed)
    throw data_error("Cannot read " + path.string() + ": " + failed.message() + ". Name a vocabulary with --vocabulary.");
  if (size > kMaxFileBytes) refuse(path.string(), "larger than any tokenizer, " + std::to_string(size) + " bytes");
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) throw data_error("Cannot read " + path.string());
  return text;
}

Json parse(std::string_view text, const std::string& where) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& e) {
    refuse(where, std::string("not valid JSON: ") + e.what());
  }
}

const Json& object_at(const Json& json, const char* key, const std::string& where) {
  if (!json.is_object() || !json.contains(key) || !json[key].is_object())
    refuse(where, std::string("has no object \"") + key + '"');
  return json[key];
}

bool flag(const Json& json, const char* key, bool otherwise, const std::string& where) {
  if (!json.contains(key)) return otherwise;
  if (!json[key].is_boolean()) refuse(where, std::string("\"") + key + "\" is neither true nor false");
  return json[key].get<bool>();
}

std::string type_of(const Json& json) {
  return json.is_object() && json.contains("type") && json["type"].is_string() ? json["type"].get<std::string>() : "";
}

std::string word(const Json& json, const std::string& where, const std::string& what) {
  if (!json.is_string()) refuse(where, what + " is not a string");
  return json.get<std::string>();
}

int32_t id_of(const Json& json, const std::string& where, const std::string& what) {
  if (!json.is_number_unsigned() || json.get<uint64_t>() > INT32_MAX) refuse(where, what + " has no valid id");
  return json.get<int32_t>();
}

void read_vocabulary(const Json& json, BytePairModel& model, const std::string& where) {
  model.vocabulary.reserve(json.size());
  for (const auto& [token, id] : json.items()) model.vocabulary.emplace_back(token, id_of(id, where, "token \"" + token + '"'));
}

void read_merge(std::string_view line, BytePairModel& model, const std::string& where) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos) {
    refuse(where, "a merge is two tokens with one space between, and not \"" + std::string(line.substr(0, 80)) + '"');
  }
  model.merges.emplace_back(line.substr(0, space), line.substr(space + 1));
}

void read_merges_text(std::string_view text, BytePairModel& model, const std::string& where) {
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !line.starts_with("#version")) read_merge(line, model, where + ":" + std::to_string(number));
  }
}

void read_bpe(const Json& json, BytePairModel& model, const std::string& where) {
  if (type_of(json) != "BPE" && json.contains("type")) refuse(where, "the model is of type \"" + type_of(json) + "\", not BPE");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix", "dropout"}) {
    if (json.contains(key) && !json[key].is_null() && json[key] != "" && json[key] != 0.0) {
      refuse(where, std::string("the model's \"") + key + "\" is not supported");
    }
  }
  model.ignore_merges = flag(json, "ignore_merges", false, where);
  read_vocabulary(object_at(json, "vocab", where), model, where);
  if (!json.contains("merges") || !json["merges"].is_array()) refuse(where, "the model has no list \"merges\"");
  for (const Json& merge : json["merges"]) {
    if (merge.is_array() && merge.size() == 2) {
      model.merges.emplace_back(word(merge[0], where, "a merge"), word(merge[1], where, "a merge"));
    } else {
      read_merge(word(merge, where, "a merge"), model, where);
    }
  }
}

void read_byte_level(const Json& json, BytePairModel& model, bool after_split, const std::string& where) {
  const bool prefix = flag(json, "add_prefix_space", true, where), pattern = flag(json, "use_regex", true, where);
  if (after_split && (prefix || pattern))
    refuse(where, "a Split followed by a ByteLevel with a prefix space or a pattern is not supported");
  if (!after_split && !pattern) refuse(where, "a ByteLevel pre-tokenizer without a pattern is not supported");
  model.add_prefix_space = prefix;
}

void read_split(const Json& json, BytePairModel& model, const std::string& where) {
  const Json& pattern = object_at(json, "pattern", where);
  if (!pattern.contains("Regex")) refuse(where, "the Split pre-tokenizer has no regular expression");
  model.pattern = word(pattern["Regex"], where, "the Split's pattern");
  if (model.pattern.empty()) refuse(where, "the Split's pattern is empty");
  const std::string behavior = json.contains("behavior") ? word(json["behavior"], where, "the Split's behavior") : "";
  const bool invert = flag(json, "invert", false, where);
  model.drop_unmatched = behavior == "Removed" && invert;
  if (behavior != "Isolated" && !model.drop_unmatched) {
    refuse(where, "a Split with behavior \"" + behavior + (invert ? "\", inverted," : "\"") + " is not supported");
  }
}

void read_pre_tokenizer(const Json& json, BytePairModel& model, const std::string& where) {
  const std::string type = type_of(json);
  if (type == "ByteLevel") return read_byte_level(json, model, false, where);
  if (type == "Sequence" && json.contains("pretokenizers") && json["pretokenizers"].is_array()) {
    const Json& parts = json["pretokenizers"];
    if (parts.size() == 1) return read_pre_tokenizer(parts[0], model, where);
    if (parts.size() == 2 && type_of(parts[0]) == "Split" && type_of(parts[1]) == "ByteLevel") {
      read_split(parts[0], model, where);
      return read_byte_level(parts[1], model, true, where);
    }
    std::string types;
    for (const Json& part : parts) types.append(" ").append(type_of(part));
    refuse(where, "the pre-tokenizer Sequence of" + types + " is not supported; Split then ByteLevel is");
  }
  refuse(where, "the pre-tokenizer \"" + type + "\" is not supported; ByteLevel is");
}

bool nothing_in(const Json& json, const char* list) {
  return type_of(json) == "Sequence" && json.contains(list) && json[list].is_array() && json[list].empty();
}

void read_normalizer(const Json& json, BytePairModel& model, const std::string& where) {
  if (type_of(json) == "Sequence" && json.contains("normalizers") && json["normalizers"].is_array() &&
      json["normalizers"].size() == 1) {
    return read_normalizer(json["normalizers"][0], model, where);
  }
  model.compose = type_of(json) == "NFC";
  if (!model.compose && !nothing_in(json, "normalizers"))
    refuse(where, "the normalizer \"" + type_of(json) + "\" is not supported; NFC is");
}

void read_added(const Json& json, BytePairModel& model, const std::string& where) {
  if (!json.is_array()) refuse(where, "\"added_tokens\" is not a list");
  for (const Json& token : json) {
    if (!token.is_object() || !token.contains("content") || !token.contains("id"))
      refuse(where, "an added token lacks its content or id");
    AddedToken added;
    added.content = word(token["content"], where, "an added token's content");
    if (added.content.empty()) refuse(where, "an added token is empty");
    added.id = id_of(token["id"], where, "added token \"" + added.content + '"');
    added.special = flag(token, "special", false, where);
    added.normalized = flag(token, "normalized", !added.special, where);
    for (const char* key : {"single_word", "lstrip", "rstrip"}) {
      if (flag(token, key, false, where))
        refuse(where, "added token \"" + added.content + "\" wants \"" + key + "\", which is not supported");
    }
    model.added.push_back(std::move(added));
  }
}

}  // namespace

BytePairModel byte_pair_from_json(std::string_view text, const std::string& where) {
  const Json json = parse(text, where);
  BytePairModel model;
  read_bpe(object_at(json, "model", where), model, where);
  read_pre_tokenizer(object_at(json, "pre_tokenizer", where), model, where);
  if (json.contains("normalizer") && !json["normalizer"].is_null()) read_normalizer(json["normalizer"], model, where);
  if (json.contains("added_tokens")) read_added(json["added_tokens"], model, where);
  return model;
}

std::string byte_pair_to_json(const BytePairModel& model) {
  const auto byte_level = [](bool prefix, bool pattern) {
    return Json{{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", true}, {"use_regex", pattern}};
  };
  Json vocabulary = Json::object(), merges = Json::array(), added = Json::array();
  for (const auto& [token, id] : model.vocabulary) vocabulary[token] = id;
  for (const auto& [left, right] : model.merges) merges.push_back({left, right});
  for (const AddedToken& token : model.added) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  Json pre_tokenizer = byte_level(model.add_prefix_space, true);
  if (!model.pattern.empty()) {
    const Json split = {{"type", "Split"},
                        {"pattern", {{"Regex", model.pattern}}},
                        {"behavior", model.drop_unmatched ? "Removed" : "Isolated"},
                        {"invert", model.drop_unmatched}};
    pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(false, false)})}};
  }
  return Json{{"version", "1.0"},
              {"truncation", nullptr},
              {"padding", nullptr},
              {"added_tokens", added},
              {"normalizer", model.compose ? Json{{"type", "NFC"}} : Json()},
              {"pre_tokenizer", pre_tokenizer},
              {"post_processor", nullptr},
              {"decoder", byte_level(false, true)},
              {"model", {{"type", "BPE"}, {"ignore_merges", model.ignore_merges}, {"vocab", vocabulary}, {"merges", merges}}}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

BytePairModel read_byte_pair_files(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return byte_pair_from_json(read_file(path), path.string());
  const auto vocabulary = path / "vocab.json", merges = path / "merges.txt", whole = path / "tokenizer.json";
  if (std::filesystem::exists(whole)) return byte_pair_from_json(read_file(whole), whole.string());
  BytePairModel model;
  const Json json = parse(read_file(vocabulary), vocabulary.string());
  if (!json.is_object()) refuse(vocabulary.string(), "not an object of tokens and ids");
  read_vocabulary(json, model, vocabulary.string());
  read_merges_text(read_file(merges), model, merges.string());
  return model;
}

}  // namespace lacuna
