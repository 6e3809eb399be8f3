// A confusion matrix shows its numbers and the names of its classes, to those who see it and to those who hear it.
#include "trainer/report/confusion_chart.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/markup.h"
#include "trainer/report/svg.h"

namespace lacuna {
namespace {

using testing::fault_of;

size_t times(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

ConfusionChart words() {
  return {.title = "joint: finetune, <pretrained>",
          .label = "word & tone",
          .confusion = {.classes = {"a<b", "\"quoted\"", "c"}, .counts = {{31, 9, 0}, {4, 36, 0}, {17, 0, 3}}}};
}

ConfusionChart diagonal(int64_t classes, int64_t count) {
  ConfusionChart chart{.title = "t", .label = "l", .confusion = {}};
  for (int64_t i = 0; i < classes; ++i) {
    chart.confusion.classes.push_back("class " + std::to_string(i));
    chart.confusion.counts.emplace_back(static_cast<size_t>(classes));
    chart.confusion.counts.back()[static_cast<size_t>(i)] = count;
  }
  return chart;
}

TEST(ConfusionChart, ShowsEveryCountThatIsNotZeroAsAShareOfItsLine) {
  const auto svg = confusion_chart(words());
  EXPECT_EQ(fault_of(svg), "");
  EXPECT_EQ(times(svg, "<rect class=\"cell\""), 6u);
  for (const auto* count : {"31", "9", "4", "36", "17", "3"})
    EXPECT_TRUE(has(svg, std::string(">") + count + "</text>")) << count;
  EXPECT_FALSE(has(svg, ">0</text>"));
  for (const auto* share : {"0.775", "0.225", "0.100", "0.900", "0.850", "0.150"}) {
    EXPECT_TRUE(has(svg, std::string("fill-opacity=\"") + share + "\"")) << share;
  }
  EXPECT_EQ(times(svg, "class=\"on\""), 3u) << "counts on dark cells";
  EXPECT_TRUE(has(svg, "<title>9 of 40 of a&lt;b taken for &quot;quoted&quot;</title>"));
}

TEST(ConfusionChart, LinesAreTheTruth) {
  const auto svg = confusion_chart(words());
  const auto place = [&](const std::string& before) {  // x and y of a cell by its title
    const auto title = svg.find("<title>" + before), rect = svg.rfind("<rect", title);
    const auto number = [&](const std::string& name) {
      return std::stod(svg.substr(svg.find(name + "=\"", rect) + name.size() + 2));
    };
    return std::pair{number(" x"), number(" y")};
  };
  const auto right = place("31 of 40 of a&lt;b told right"), wrong = place("9 of 40 of a&lt;b"),
             last = place("17 of 20 of c taken for a&lt;b");
  EXPECT_EQ(right.second, wrong.second);
  EXPECT_LT(right.first, wrong.first);
  EXPECT_EQ(right.first, last.first);
  EXPECT_LT(right.second, last.second);
}

TEST(ConfusionChart, NamesClassesOnBothAxesAndWhatIsTold) {
  const auto svg = confusion_chart(words());
  for (const auto* name : {">a&lt;b</text>", ">&quot;quoted&quot;</text>", ">c</text>"}) EXPECT_EQ(times(svg, name), 2u) << name;
  EXPECT_TRUE(has(svg, ">true word &amp; tone</text>"));
  EXPECT_TRUE(has(svg, ">predicted word &amp; tone</text>"));
  EXPECT_TRUE(has(svg, "<title>joint: finetune, &lt;pretrained&gt;</title>"));
  EXPECT_TRUE(has(svg,
                  "<desc>Lines are the true word &amp; tone, columns the predicted one. a&lt;b: 31 of 40 right, 9 taken for "
                  "&quot;quoted&quot;; &quot;quoted&quot;: 36 of 40 right, 4 taken for a&lt;b; c: 3 of 20 right, 17 taken for "
                  "a&lt;b</desc>"));
}

TEST(ConfusionChart, CountsThatDoNotFitAreInTitlesAlone) {
  const auto svg = confusion_chart(diagonal(40, 123456));
  EXPECT_EQ(fault_of(svg), "");
  EXPECT_FALSE(has(svg, ">123456</text>"));
  EXPECT_TRUE(has(svg, "<title>123456 of 123456 of class 39 told right</title>"));
  EXPECT_TRUE(has(confusion_chart(diagonal(10, 12)), ">12</text>"));
}

TEST(ConfusionChart, DrawsLittleAndNothingWithoutFault) {
  for (const auto& chart : {diagonal(0, 0), diagonal(1, 0), diagonal(1, 7), diagonal(2, 0)}) {
    const auto svg = confusion_chart(chart);
    EXPECT_EQ(fault_of(svg), "");
    EXPECT_FALSE(has(svg, "nan"));
    EXPECT_FALSE(has(svg, "inf"));
  }
  auto ragged = diagonal(2, 1);
  ragged.confusion.counts[1].pop_back();
  testing::expect_error(ExitCode::internal, "of 2 classes has other counts", [&] { confusion_chart(ragged); });
}

TEST(Confusion, AddsByName) {
  Confusion sum{.classes = {"a", "b"}, .counts = {{1, 2}, {3, 4}}};
  sum.add({.classes = {"b", "c"}, .counts = {{10, 20}, {30, 40}}});
  EXPECT_EQ(sum.classes, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(sum.counts, (std::vector<std::vector<int64_t>>{{1, 2, 0}, {3, 14, 20}, {0, 30, 40}}));
}

TEST(Shortened, CutsBetweenLetters) {
  EXPECT_EQ(shortened("fünf", 4), "fünf");
  EXPECT_EQ(shortened("fünfzig", 3), "fü…");
  EXPECT_EQ(letters_of("fünf"), 4u);
}

TEST(FaultOf, SeesWhatItIsThereFor) {
  EXPECT_NE(fault_of("<a><b></a></b>"), "");
  EXPECT_NE(fault_of("<a>x & y</a>"), "");
  EXPECT_NE(fault_of("<a>"), "");
  EXPECT_NE(fault_of("<a c=\"></a>"), "");
  EXPECT_EQ(fault_of("<a c=\"1\"><b/>&lt;</a>\n"), "");
}

}  // namespace
}  // namespace lacuna
