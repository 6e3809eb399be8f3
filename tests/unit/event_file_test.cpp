// Event files: the checksum against published values, and frames and messages against an independent reading of their bytes.
#include "trainer/report/event_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"
#include "trainer/report/crc32c.h"

namespace lacuna {
namespace {

TEST(Crc32c, HasThePublishedValues) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  // RFC 3720, appendix B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  EXPECT_EQ(crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(crc32c(std::string(rising.rbegin(), rising.rend())), 0x113fdb5cu);
}

TEST(Crc32c, IsMaskedAsTfRecordSays) {
  // Turned right by 15 and 0xa282ead8 added: 0xe3069283 -> 0x2507c60d + 0xa282ead8.
  EXPECT_EQ(masked_crc32c("123456789"), 0x2507c60du + 0xa282ead8u);
}

// Takes bytes apart from the front.
struct Reader {
  std::string_view rest;

  template <class T>
  T fixed() {
    T value;
    std::memcpy(&value, rest.data(), sizeof value);
    rest.remove_prefix(sizeof value);
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(rest[0]);
      rest.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
  std::string_view bytes() {
    const auto size = varint();
    const auto part = rest.substr(0, size);
    rest.remove_prefix(size);
    return part;
  }
};

struct Event {
  double seconds = 0;
  uint64_t step = 0, status = 0;
  std::string version;
  std::vector<std::pair<std::string, float>> values;
};

Event parse(std::string_view message) {
  Event event;
  for (Reader r{message}; !r.rest.empty();) {
    switch (r.varint()) {
      case 1 << 3 | 1:
        event.seconds = r.fixed<double>();
        break;
      case 2 << 3 | 0:
        event.step = r.varint();
        break;
      case 3 << 3 | 2:
        event.version = r.bytes();
        break;
      case 5 << 3 | 2:
        for (Reader summary{r.bytes()}; !summary.rest.empty();) {
          EXPECT_EQ(summary.varint(), 1u << 3 | 2);
          Reader value{summary.bytes()};
          EXPECT_EQ(value.varint(), 1u << 3 | 2);
          std::string tag(value.bytes());
          EXPECT_EQ(value.varint(), 2u << 3 | 5);
          event.values.emplace_back(std::move(tag), value.fixed<float>());
          EXPECT_TRUE(value.rest.empty());
        }
        break;
      case 7 << 3 | 2: {
        Reader log{r.bytes()};
        EXPECT_EQ(log.varint(), 1u << 3 | 0);
        event.status = log.varint();
        break;
      }
      default:
        ADD_FAILURE() << "a field that no event of ours has";
        return event;
    }
  }
  return event;
}

std::vector<Event> read_events(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  const std::string content = text.str();
  std::vector<Event> events;
  for (Reader r{content}; !r.rest.empty();) {
    const auto head = r.rest.substr(0, 8);
    const auto size = r.fixed<uint64_t>();
    EXPECT_EQ(r.fixed<uint32_t>(), masked_crc32c(head));
    const auto message = r.rest.substr(0, size);
    r.rest.remove_prefix(size);
    EXPECT_EQ(r.fixed<uint32_t>(), masked_crc32c(message));
    events.push_back(parse(message));
  }
  return events;
}

TEST(EventFile, SaysVersionAndStartAndThenItsScalars) {
  const testing::TemporaryFolder folder;
  EventFile file(folder.path(), 301);
  file.write(301, {{"train/loss", 2.5}, {"train/learning_rate", 1e-3}});
  file.write(70000, {{"train/loss", -0.25}});
  const auto events = read_events(file.path());  // before the file is closed: every write is in it
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_EQ(events[1].status, 1u);
  EXPECT_EQ(events[1].step, 301u);
  EXPECT_EQ(events[2].step, 301u);
  ASSERT_EQ(events[2].values.size(), 2u);
  EXPECT_EQ(events[2].values[0], (std::pair<std::string, float>{"train/loss", 2.5f}));
  EXPECT_EQ(events[2].values[1], (std::pair<std::string, float>{"train/learning_rate", 1e-3f}));
  EXPECT_EQ(events[3].step, 70000u);
  EXPECT_EQ(events[3].values[0].second, -0.25f);
  EXPECT_GT(events[2].seconds, 1.6e9);
  EXPECT_LE(events[2].seconds, events[3].seconds);
}

TEST(EventFile, ALaterStartSortsBehindEarlierOnes) {
  const testing::TemporaryFolder folder;
  std::vector<std::string> names;
  for (int start = 0; start < 12; ++start) names.push_back(EventFile(folder.path(), start).path().filename());
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST(EventFile, AFolderThatCannotBeWrittenIsNamed) {
  testing::expect_error(ExitCode::disk, "/nowhere/events.out.tfevents.", [] { EventFile("/nowhere", 1); });
}

TEST(Scalars, AreNamedByTheirTaskAndSlice) {
  const nlohmann::ordered_json line{{"event", "evaluate"},     {"step", 7},        {"task", "needle"},
                                    {"accuracy", 0.25},        {"examples", 40},   {"interval", {0.1, 0.5}},
                                    {"solved", true},          {"note", "words"},  {"slices", {{"depth", {{"50", {{"accuracy", 0.5}}}}}}}};
  const Scalars whole{{"needle/accuracy", 0.25}, {"needle/examples", 40}, {"needle/solved", 1}};
  EXPECT_EQ(scalars_of(line), whole);
  const nlohmann::ordered_json arm{{"task", "topic_probe"}, {"arm", "mean"}, {"accuracy", 0.75}, {"word", "no part of the name"}};
  EXPECT_EQ(scalars_of(arm), (Scalars{{"topic_probe/mean/accuracy", 0.75}}));
  const nlohmann::ordered_json steps{{"task", "thinking"}, {"steps", 4}, {"loss", 2.5}, {"rows", 8}};
  EXPECT_EQ(scalars_of(steps), (Scalars{{"thinking/steps=4/loss", 2.5}, {"thinking/steps=4/rows", 8}}));
  auto all = whole;
  all.emplace_back("needle/depth/50/accuracy", 0.5);
  EXPECT_EQ(scalars_of(line, /*slices=*/true), all);
}

}  // namespace
}  // namespace lacuna
