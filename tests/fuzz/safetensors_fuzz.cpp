// Mutated safetensors files and manifests: every one is read or refused with a lacuna::Error, within bounded memory.
//   safetensors_fuzz [NUMBER = 2000] [SEED = 1]
#include <sys/resource.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "data/error.h"
#include "tests/support/fuzzing.h"
#include "tests/support/temporary_folder.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/checkpoint/safetensors.h"

namespace {

using Random = std::mt19937_64;
#ifdef LACUNA_SANITIZED
constexpr int64_t kMaxGrowthMegabytes = 512;  // freed memory stays in quarantine
#else
constexpr int64_t kMaxGrowthMegabytes = 256;
#endif

std::string with_length(const std::string& header, size_t data_bytes) {
  std::string file(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, '\1');
}

// Good files, and the bad ones that the format's reference implementation tests.
std::vector<std::string> safetensors_seeds() {
  return {
      with_length(R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                  R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}})",
                  32),
      with_length(
          R"(  {"flags":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]},"s":{"dtype":"I64","shape":[],"data_offsets":[3,11]}}  )",
          11),
      with_length(R"({"e":{"dtype":"F64","shape":[0,7],"data_offsets":[0,0]}})", 0),
      with_length(R"({"a":{"dtype":"F32","shape":[2,18446744073709551614],"data_offsets":[0,16]}})", 16),
      with_length(
          R"({"a":{"dtype":"I32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"I32","shape":[4],"data_offsets":[0,16]}})", 16),
      with_length(R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}})", 12),
      with_length("{}", 0),
  };
}

std::string manifest_seed() {
  lacuna::Manifest manifest;
  manifest.meta.counters = {{"adamw_step", 3}};
  manifest.meta.corpus_hashes = {{"corpus", "00"}};
  manifest.files = {{"rank-0.safetensors", {10, "aa"}}, {"rank-1.safetensors", {10, "bb"}}};
  manifest.tensors["w"] = {"F32", {4, 2}, {{"rank-0.safetensors", {0, 0}, {2, 2}}, {"rank-1.safetensors", {2, 0}, {2, 2}}}};
  manifest.tensors["s"] = {"I64", {}, {{"rank-0.safetensors", {}, {}}}};
  return to_json(manifest);
}

std::string mutate(std::string text, Random& random) {
  static const std::array<std::string, 22> kPieces = {"{",
                                                      "}",
                                                      "[",
                                                      "]",
                                                      "\"",
                                                      ",",
                                                      ":",
                                                      "0",
                                                      "-1",
                                                      "9223372036854775807",
                                                      "18446744073709551615",
                                                      "1e400",
                                                      "null",
                                                      "true",
                                                      "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},",
                                                      "\"__metadata__\":{},",
                                                      "\"F8_E4M3\"",
                                                      "\"shape\"",
                                                      "[[[[",
                                                      "\\u0000",
                                                      "\xF0\x9F",
                                                      "4294967296,4294967296,"};
  for (uint64_t round = random() % 4 + 1; round > 0; --round) {
    const size_t place = text.empty() ? 0 : random() % text.size();
    const size_t length = random() % 12;
    switch (random() % 7) {
      case 0:
        if (!text.empty()) text[place] = static_cast<char>(text[place] ^ (1 << random() % 8));
        break;
      case 1:
        if (!text.empty()) text[place] = static_cast<char>(random());
        break;
      case 2:
        text.insert(place, kPieces[random() % kPieces.size()]);
        break;
      case 3:
        text.erase(place, length);
        break;
      case 4:
        text.insert(place, text.substr(text.empty() ? 0 : random() % text.size(), length * 8));
        break;
      case 5:
        if (random() % 4 == 0) text.resize(place);
        break;
      default:
        if (text.size() >= 8) {  // the header's length: small changes, or anything
          uint64_t claimed = 0;
          std::memcpy(&claimed, text.data(), 8);
          claimed = random() % 2 == 0 ? claimed + random() % 17 - 8 : random() >> random() % 64;
          std::memcpy(text.data(), &claimed, 8);
        }
    }
  }
  return text;
}

void read_file(const std::filesystem::path& path) {
  const lacuna::SafetensorsFile file{lacuna::InputFile(path)};
  for (const auto& [name, tensor] : file.header().tensors) {
    file.read(name);
    std::vector<int64_t> offset(tensor.shape.size(), 0), half = tensor.shape;
    for (size_t dim = 0; dim < half.size(); ++dim) offset[dim] = half[dim] - (half[dim] /= 2);
    file.read(name, offset, half);
  }
}

int64_t peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

}  // namespace

int main(int argc, char** argv) {
  const lacuna::testing::FuzzArguments arguments(argc, argv, 2000);
  const auto seed = arguments.seed, number = static_cast<uint64_t>(arguments.inputs);
  const lacuna::testing::TemporaryFolder folder;
  const std::filesystem::path path = folder / "input";
  const std::vector<std::string> seeds = safetensors_seeds();
  const std::string manifest = manifest_seed();
  const int64_t before = peak_megabytes();
  uint64_t num_accepted = 0;
  for (uint64_t i = 0; i < number; ++i) {
    Random random(seed * 1'000'003 + i);
    const bool is_manifest = i % 4 == 3;
    const std::string input = mutate(is_manifest ? manifest : seeds[random() % seeds.size()], random);
    try {
      if (is_manifest) {
        lacuna::parse_manifest(input, "input");
      } else {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << input;
        read_file(path);
      }
      ++num_accepted;
    } catch (const lacuna::Error&) {
    } catch (const std::exception& error) {
      std::fprintf(stderr, "input %llu of seed %llu is answered by another exception: %s\n", static_cast<unsigned long long>(i),
                   static_cast<unsigned long long>(seed), error.what());
      return 1;
    }
  }
  const int64_t growth = peak_megabytes() - before;
  std::printf("%llu inputs, %llu accepted, peak memory grew by %lld MiB\n", static_cast<unsigned long long>(number),
              static_cast<unsigned long long>(num_accepted), static_cast<long long>(growth));
  return growth > kMaxGrowthMegabytes ? 1 : 0;
}
