#include "trainer/checkpoint/manifest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/error.h"

namespace lacuna {
namespace {

Manifest example() {
  Manifest manifest;
  manifest.meta = {.step = 500,
                   .tokens_seen = 1'000'000'000'000,
                   .data = 1,
                   .tensor = 2,
                   .counters = {{"adamw_step", 500}, {"low", std::numeric_limits<int64_t>::min()}},
                   .corpus_hashes = {{"shakespeare", "ab12"}},
                   .config = "[run]\nname = \"größe\"\n",
                   .code_version = "0.1.0"};
  manifest.files = {{"rank-0.safetensors", {.size = 100, .sha256 = "aa"}}, {"rank-1.safetensors", {.size = 90, .sha256 = "bb"}}};
  manifest.tensors["w"] = {.dtype = "F32",
                           .shape = {6, 3},
                           .slices = {{"rank-0.safetensors", {0, 0}, {3, 3}}, {"rank-1.safetensors", {3, 0}, {3, 3}}}};
  manifest.tensors["s"] = {.dtype = "I64", .shape = {}, .slices = {{"rank-0.safetensors", {}, {}}}};
  return manifest;
}

std::string refusal(const std::string& json) {
  try {
    parse_manifest(json, "here");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::checkpoint);
    EXPECT_TRUE(std::string(error.what()).starts_with("here")) << error.what();
    return error.what();
  }
  return "accepted";
}

// The example's JSON with the value at `pointer` replaced; an empty value removes it.
std::string changed(const std::string& pointer, const std::string& value) {
  const nlohmann::json::json_pointer place(pointer);
  nlohmann::json json = nlohmann::json::parse(to_json(example()));
  if (value.empty()) {
    json[place.parent_pointer()].erase(place.back());
  } else {
    json[place] = nlohmann::json::parse(value);
  }
  return json.dump();
}

TEST(Manifest, SurvivesTheRoundTrip) {
  const Manifest read = parse_manifest(to_json(example()), "here");
  EXPECT_EQ(to_json(read), to_json(example()));
  EXPECT_EQ(read.meta.step, 500);
  EXPECT_EQ(read.meta.tokens_seen, 1'000'000'000'000);
  EXPECT_EQ(read.meta.tensor, 2);
  EXPECT_EQ(read.meta.counters, example().meta.counters);
  EXPECT_EQ(read.meta.corpus_hashes, example().meta.corpus_hashes);
  EXPECT_EQ(read.meta.config, example().meta.config);
  EXPECT_EQ(read.meta.code_version, "0.1.0");
  EXPECT_EQ(read.files.at("rank-1.safetensors").size, 90u);
  EXPECT_EQ(read.tensors.at("w").slices[1].offset, (std::vector<int64_t>{3, 0}));
}

TEST(Manifest, RefusesWhatIsWrongAndSaysWhere) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"/format_version", "2", "format version 2; this program reads version 1"},
      {"/format_version", "", "lacks \"format_version\""},
      {"/step", "-1", "step is not a whole number of at least 0"},
      {"/step", "1.5", "step is not a whole number"},
      {"/step", "9223372036854775808", "step is not a whole number"},
      {"/step", "", "lacks \"step\""},
      {"/surprise", "1", "unknown key \"surprise\""},
      {"/layout/tensor", "0", "layout: tensor is not a whole number of at least 1"},
      {"/layout/pipe", "1", "unknown key \"pipe\""},
      {"/counters/x", "\"1\"", "counters: x is not a whole number"},
      {"/corpus_hashes", "[]", "corpus_hashes is not an object"},
      {"/config", "1", "config is not a string"},
      {"/files/..~1secret", R"({"size":1,"sha256":""})", "\"../secret\" is not a plain name"},
      {"/files/.hidden", R"({"size":1,"sha256":""})", "not a plain name"},
      {"/files/rank-0.safetensors/size", "-5", "size is not a whole number"},
      {"/files/rank-0.safetensors/mode", "1", "unknown key"},
      {"/tensors/w/dtype", "\"F3\"", "the type \"F3\" cannot be read"},
      {"/tensors/w/shape", "[6]", "another rank"},
      {"/tensors/w/shape", "[7,3]", "lacks its slices from 6 on"},
      {"/tensors/w/shape", "[5,3]", "beyond its end"},
      {"/tensors/w/shape", "[4611686018427387904,4]", "is too large"},
      {"/tensors/w/shape", "{}", "is not a list"},
      {"/tensors/w/slices", "[]", "has no slices"},
      {"/tensors/w/slices/0", R"({"file":"rank-1.safetensors","offset":[0,0],"shape":[3,3]})", "two slices in the file"},
      {"/tensors/w/slices/0/file", "\"elsewhere\"", "unlisted file \"elsewhere\""},
      {"/tensors/w/slices/1/offset", "[2,0]", "gap or overlap at 3"},
      {"/tensors/w/slices/1/offset", "[4,0]", "gap or overlap at 3"},
      {"/tensors/w/slices/1/shape", "[9223372036854775807,3]", "beyond its end"},
      {"/tensors/w/slices/1/shape", "[3,2]", "cut along two dims"},
      {"/tensors/s/slices/1", R"({"file":"rank-1.safetensors","offset":[],"shape":[]})", "is there twice"},
  };
  for (const auto& [pointer, value, reason] : cases) {
    const std::string message = refusal(changed(pointer, value));
    EXPECT_NE(message.find(reason), std::string::npos) << pointer << " = " << value << ": " << message;
  }
}

TEST(Manifest, RefusesTextThatIsNoManifest) {
  EXPECT_NE(refusal("").find("is not JSON at byte"), std::string::npos);
  EXPECT_NE(refusal("[]").find("is not an object"), std::string::npos);
  EXPECT_NE(refusal(R"({"step":1,"step":2})").find("the key \"step\" twice"), std::string::npos);
  EXPECT_NE(refusal(std::string(1'000'000, '[')).find("nested too deeply"), std::string::npos);
  EXPECT_NE(refusal(R"({"step":1e400})").find("a number beyond 64 bits"), std::string::npos);
  EXPECT_NE(refusal(to_json(example()) + "x").find("is not JSON"), std::string::npos);
}

TEST(Manifest, MergesThePartsOfRanks) {
  std::vector<std::string> parts;
  for (int rank = 0; rank < 2; ++rank) {
    Manifest part = example();
    const std::string file = "rank-" + std::to_string(rank) + ".safetensors";
    std::erase_if(part.files, [&](const auto& entry) { return entry.first != file; });
    for (auto& [name, tensor] : part.tensors) std::erase_if(tensor.slices, [&](const auto& slice) { return slice.file != file; });
    std::erase_if(part.tensors, [](const auto& entry) { return entry.second.slices.empty(); });
    parts.push_back(to_json(part));
  }
  EXPECT_EQ(to_json(merge_parts(parts)), to_json(example()));
  parts.pop_back();
  EXPECT_THROW(merge_parts(parts), Error);  // the second half of w is nowhere
}

TEST(Manifest, RefusesTextThatIsNotUtf8) {
  Manifest manifest = example();
  manifest.meta.corpus_hashes["\xFF"] = "";
  EXPECT_THROW(to_json(manifest), Error);
}

}  // namespace
}  // namespace lacuna
