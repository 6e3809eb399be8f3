#include "trainer/checkpoint/safetensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <bit>
#include <fstream>
#include <sstream>

#include "data/error.h"
#include "tests/support/temporary_folder.h"

namespace lacuna {
namespace {

using testing::TemporaryFolder;
const std::filesystem::path kGolden = "tests/golden/safetensors/small.safetensors";

std::string slurp(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void spill(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

std::string with_length(const std::string& header, const std::string& data, uint64_t claimed) {
  const auto length = std::bit_cast<std::array<char, 8>>(claimed);
  return std::string(length.data(), 8) + header + data;
}

// The message of the Error(checkpoint) that `work` throws, or "accepted".
template <class Work>
std::string refusal(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::checkpoint) << error.what();
    return error.what();
  }
  return "accepted";
}

std::string opening(const std::filesystem::path& path, uint64_t cap = kMaxHeaderBytes) {
  return refusal([&] { SafetensorsFile(InputFile(path), cap); });
}

TEST(Safetensors, ReadsWhatTheReferenceWrote) {
  const SafetensorsFile file{InputFile(kGolden)};
  EXPECT_EQ(file.header().metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(file.header().tensors.size(), 11u);
  const auto expect = [&](const std::string& name, const at::Tensor& value) {
    const at::Tensor read = file.read(name);
    EXPECT_EQ(read.scalar_type(), value.scalar_type()) << name;
    EXPECT_TRUE(read.sizes() == value.sizes() && at::equal(read, value)) << name;
  };
  expect("weight", at::arange(12, at::kFloat).reshape({3, 4}) / 8);
  expect("norm", at::tensor({1.5, -2.0}, at::kDouble));
  expect("half", at::tensor({0.5, -1.25}).to(at::kHalf).reshape({2, 1}));
  expect("brain", at::tensor({3.0, -0.15625, 256.0}).to(at::kBFloat16));
  expect("counts", at::tensor({int64_t{1}, int64_t{-2}, int64_t{1} << 40}, at::kLong));
  expect("ids", at::tensor({7, -9}, at::kInt).reshape({1, 2}));
  expect("bytes", at::tensor({0, 127, 255}, at::kByte));
  expect("flags", at::tensor({1, 0, 1}, at::kInt).to(at::kBool));
  expect("empty", at::zeros({0, 5}));
  expect("scalar", at::zeros({}) + 0.125);
  expect("größe \"q\"", at::tensor({1}, at::kChar));
}

TEST(Safetensors, WritesTheBytesOfTheReference) {
  const SafetensorsFile golden{InputFile(kGolden)};
  std::vector<NamedTensor> tensors;
  for (const auto& [name, stored] : golden.header().tensors) tensors.push_back({name, golden.read(name)});
  const TemporaryFolder folder;
  const FileDigest digest = write_safetensors(FileIo(), folder / "again", tensors, golden.header().metadata);
  EXPECT_EQ(slurp(folder / "again"), slurp(kGolden));
  EXPECT_EQ(digest.size, std::filesystem::file_size(kGolden));
  EXPECT_EQ(digest.sha256, InputFile(kGolden).sha256());
}

TEST(Safetensors, ReadsAnyBox) {
  const TemporaryFolder folder;
  const at::Tensor whole = at::arange(3 * 4 * 5, at::kInt).reshape({3, 4, 5});
  write_safetensors(FileIo(), folder / "f", {{"before", at::zeros({7})}, {"x", whole}});
  const SafetensorsFile file{InputFile(folder / "f")};
  for (int64_t code = 0; code < 10 * 15 * 21; ++code) {
    // Every (offset, size) pair of each dim, sizes from 0.
    std::vector<int64_t> offset, shape;
    int64_t rest = code;
    at::Tensor expected = whole;
    for (int64_t dim = 0; dim < 3; ++dim) {
      const int64_t size = whole.size(dim), num_pairs = (size + 1) * (size + 2) / 2;
      int64_t pair = rest % num_pairs, begin = 0;
      rest /= num_pairs;
      while (pair > size - begin) pair -= size - begin++ + 1;
      offset.push_back(begin);
      shape.push_back(pair);
      expected = expected.narrow(dim, begin, pair);
    }
    ASSERT_TRUE(at::equal(file.read("x", offset, shape), expected)) << at::IntArrayRef(offset) << at::IntArrayRef(shape);
  }
  EXPECT_THROW(file.read("x", std::vector<int64_t>{0, 0, 3}, std::vector<int64_t>{1, 1, 3}), Error);
  EXPECT_THROW(file.read("x", std::vector<int64_t>{0, 0}, std::vector<int64_t>{1, 1}), Error);
  EXPECT_NE(refusal([&] { file.read("y"); }).find("has no tensor \"y\""), std::string::npos);
}

TEST(Safetensors, WriterRefusesWhatItCannotStore) {
  const TemporaryFolder folder;
  const at::Tensor one = at::zeros({2, 3});
  EXPECT_THROW(write_safetensors(FileIo(), folder / "a", {{"x", one}, {"x", one}}), Error);
  EXPECT_THROW(write_safetensors(FileIo(), folder / "b", {{"__metadata__", one}}), Error);
  EXPECT_THROW(write_safetensors(FileIo(), folder / "c", {{"x", one.t()}}), Error);
  EXPECT_THROW(write_safetensors(FileIo(), folder / "d", {{"x", one.to(at::kComplexFloat)}}), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

struct BadHeader {
  const char* json;
  uint64_t data_bytes;
  const char* reason;
};

TEST(Safetensors, RefusesBadHeaders) {
  const std::string deep = R"({"a":{"dtype":"F32","shape":)" + std::string(100000, '[');
  const BadHeader cases[] = {
      {"", 0, "does not begin with {"},
      {"\xEF\xBB\xBF{}", 0, "does not begin with {"},
      {"[]", 0, "does not begin with {"},
      {"{", 0, "is not JSON"},
      {"{}{}", 0, "is not JSON"},
      {"{}x", 0, "is not JSON"},
      {R"({"a":1})", 0, "the number 1"},
      {R"({"a":null})", 0, "null"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
       "twice"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "field \"dtype\" twice"},
      {R"({"__metadata__":{"x":"1","x":"2"}})", 0, "metadata \"x\" twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "twice"},
      {R"({"__metadata__":{"x":1}})", 0, "the number 1"},
      {R"({"__metadata__":{"x":{}}})", 0, "an object"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", 4, "unknown field \"more\""},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "lacks a field"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "lacks a field"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4, "the number 8"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "a negative number"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "a fraction"},
      {R"({"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}})", 4, "a fraction"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}})", 4, "beyond 64 bits"},
      {R"({"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]}})", 4, "the number 9223372036854775808"},
      {R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})", 4, "a string"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4, "an array"},
      {R"({"a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}})", 4, "the type \"F4\""},
      {R"({"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", 4, "an array"},
      // The reference's own cases: sizes that overflow, wrong sizes, holes, overlaps, too much and too little data.
      {R"({"a":{"dtype":"F32","shape":[2,18446744073709551614],"data_offsets":[0,16]}})", 16, "the number 1844"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0, "not the size"},
      {R"({"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})", 0, "not the size"},
      {R"({"a":{"dtype":"I32","shape":[2,2],"data_offsets":[0,12]}})", 12, "not the size"},
      {R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[4,0]}})", 4, "at bytes 4 to 0"},
      {R"({"a":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})", 16,
       "the one before ends at 16"},
      {R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}})", 12,
       "the one before ends at 4"},
      {R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}})", 12, "the one before ends at 0"},
      {R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}})", 5, "describes 4 bytes of data, but the file has 5"},
      {R"({"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}})", 3, "describes 4 bytes of data, but the file has 3"},
      {"{}", 1, "describes 0 bytes"},
      {"{\"\xFF\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "is not JSON"},
      {deep.c_str(), 0, "an array"},
  };
  for (const BadHeader& bad : cases) {
    const std::string message = refusal([&] { parse_safetensors_header(bad.json, bad.data_bytes, "here"); });
    EXPECT_TRUE(message.starts_with("here: the header ")) << std::string(bad.json).substr(0, 200) << ": " << message;
    EXPECT_NE(message.find(bad.reason), std::string::npos) << std::string(bad.json).substr(0, 200) << ": " << message;
  }
  std::string zero = "{}";
  zero += std::string("\0{}", 3);
  EXPECT_NE(refusal([&] { parse_safetensors_header(zero, 0, "here"); }).find("zero byte"), std::string::npos);
  std::string shape = "1";
  for (int i = 0; i < 64; ++i) shape += ",1";
  const std::string wide = R"({"a":{"dtype":"U8","shape":[)" + shape + R"(],"data_offsets":[0,1]}})";
  EXPECT_NE(refusal([&] { parse_safetensors_header(wide, 1, "here"); }).find("where none belongs"), std::string::npos);
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  const auto names = [](const std::string& json, uint64_t data_bytes) {
    return parse_safetensors_header(json, data_bytes, "here").tensors.size();
  };
  EXPECT_EQ(names("{}", 0), 0u);
  EXPECT_EQ(names(" \n\t{} \n ", 0), 0u);
  EXPECT_EQ(names(R"({"__metadata__":{}})", 0), 0u);
  EXPECT_EQ(names(R"({"a":{"dtype":"I32","shape":[],"data_offsets":[0,4]}})", 4), 1u);
  EXPECT_EQ(
      names(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I64","shape":[0,9],"data_offsets":[0,0]}})", 1),
      2u);
}

TEST(Safetensors, RefusesBadLengths) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "f";
  for (const uint64_t claimed : {uint64_t{3}, uint64_t{200'000'000}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    spill(path, with_length("{}", "", claimed));
    EXPECT_NE(opening(path).find("claims " + std::to_string(claimed)), std::string::npos);
  }
  std::filesystem::resize_file(path, 300'000'000);  // sparse: the claim now lies inside the file
  const auto length = std::bit_cast<std::array<char, 8>>(uint64_t{200'000'000});
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).write(length.data(), 8);
  EXPECT_NE(opening(path).find("the limit is 100000000"), std::string::npos);

  spill(path, with_length("{}      ", "", 8));
  EXPECT_EQ(opening(path), "accepted");
  EXPECT_NE(opening(path, 7).find("the limit is 7"), std::string::npos);
}

TEST(Safetensors, RefusesEveryTruncationAndExtension) {
  const TemporaryFolder folder;
  const std::string whole = slurp(kGolden);
  spill(folder / "f", whole);
  for (size_t size = whole.size(); size-- > 0;) {
    std::filesystem::resize_file(folder / "f", size);
    ASSERT_NE(opening(folder / "f"), "accepted") << size;
  }
  spill(folder / "f", whole + '\0');
  EXPECT_NE(opening(folder / "f").find("117 bytes of data, but the file has 118"), std::string::npos);
}

TEST(Safetensors, RefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink(std::filesystem::absolute(kGolden), folder / "link");
  EXPECT_NE(opening(folder / "link").find("symbolic links"), std::string::npos);
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_NE(opening(folder / "pipe").find("not a regular file"), std::string::npos);
  EXPECT_NE(opening(folder.path()).find("not a regular file"), std::string::npos);
  EXPECT_NE(opening(folder / "absent").find("No such file"), std::string::npos);
}

TEST(Safetensors, RefusesBooleansThatAreNone) {
  const TemporaryFolder folder;
  spill(folder / "f", with_length(R"({"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", "\x01\x02", 55));
  const SafetensorsFile file{InputFile(folder / "f")};
  EXPECT_NE(refusal([&] { file.read("a"); }).find("neither 0 nor 1"), std::string::npos);
}

TEST(Safetensors, FileThatShrinksMeanwhileIsAnError) {
  const TemporaryFolder folder;
  write_safetensors(FileIo(), folder / "f", {{"x", at::zeros({1000})}});
  const SafetensorsFile file{InputFile(folder / "f")};
  std::filesystem::resize_file(folder / "f", 500);
  EXPECT_NE(refusal([&] { file.read("x"); }).find("ends early"), std::string::npos);
}

}  // namespace
}  // namespace lacuna
