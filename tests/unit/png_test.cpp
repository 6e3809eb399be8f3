#include "trainer/report/png.h"

#include <gtest/gtest.h>

namespace lacuna {
namespace {

// Checked against the bytes that another encoder makes of the same pixels, stored: python's zlib.crc32 and zlib.adler32.
TEST(Png, HoldsEveryPixelBehindTheRightChecksums) {
  const auto png = png_file(2, 1, {255, 0, 0, 0, 0, 255});
  const auto hex = [](const std::string& bytes) {
    std::string text;
    for (const char byte : bytes) {
      char pair[3];
      std::snprintf(pair, sizeof pair, "%02x", static_cast<uint8_t>(byte));
      text += pair;
    }
    return text;
  };
  EXPECT_EQ(hex(png),
            "89504e470d0a1a0a0000000d49484452000000020000000108020000007b40e8dd00000012494441"
            "547801010700f8ff00ff00000000ff070001ff5536bac70000000049454e44ae426082");
}

TEST(Png, LongPicturesTakeSeveralBlocks) {
  const std::vector<uint8_t> pixels(static_cast<size_t>(3 * 200 * 150), 7);
  // Signature, chunks' frames, header, two blocks' frames, zlib's frame.
  EXPECT_EQ(png_file(200, 150, pixels).size(), 8U + 3 * 12 + 13 + 150 * 601 + 2 * 5 + 6);
}

TEST(Png, DataUrisArePadded) {
  EXPECT_EQ(data_uri("a"), "data:image/png;base64,YQ==");
  EXPECT_EQ(data_uri("ab"), "data:image/png;base64,YWI=");
  EXPECT_EQ(data_uri("abc"), "data:image/png;base64,YWJj");
  EXPECT_EQ(data_uri("\xff\xfe\xfd"), "data:image/png;base64,//79");
}

}  // namespace
}  // namespace lacuna
