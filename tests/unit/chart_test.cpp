// Charts are well-formed XML whatever they show; axes are round; a table's fields survive commas, quotes and breaks.
#include "trainer/report/chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "tests/support/markup.h"
#include "trainer/report/csv.h"

namespace lacuna {
namespace {

using testing::fault_of;

ChartLine line(const std::string& name, double slope) {
  ChartLine l{.name = name, .points = {}};
  for (int i = 1; i <= 40; ++i) l.points.push_back({1e5 * i, 3 + slope * i, 2.9 + slope * i, 3.2 + slope * i});
  return l;
}

TEST(LineChart, IsWellFormedAndNamesItsAxesAndLines) {
  const auto svg = line_chart({.title = "loss <of> a & \"b\"", .x_label = "tokens of text", .y_label = "loss, nats",
                               .lines = {line("causal & span", -0.02), line("prefix", 0.01)}});
  EXPECT_EQ(fault_of(svg), "");
  EXPECT_NE(svg.find("tokens of text"), std::string::npos);
  EXPECT_NE(svg.find("loss, nats"), std::string::npos);
  EXPECT_NE(svg.find("<title>causal &amp; span</title>"), std::string::npos);
  EXPECT_EQ(svg.find("http", svg.find("xmlns") + 40), std::string::npos) << "it needs nothing from outside";
}

TEST(LineChart, DrawsNothingAndLittleWithoutFault) {
  for (const auto& lines : std::vector<std::vector<ChartLine>>{{}, {{.name = "none", .points = {}}}, {{.name = "one", .points = {{5, 2, 2, 2}}}}}) {
    const auto svg = line_chart({.title = "t", .x_label = "x", .y_label = "y", .lines = lines});
    EXPECT_EQ(fault_of(svg), "");
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
  }
}

TEST(LineChart, AHighStartDoesNotPressTheCurveFlat) {
  auto steep = line("steep", 0);
  steep.points.front().mean = steep.points.front().high = 1e6;
  const auto svg = line_chart({.title = "t", .x_label = "x", .y_label = "y", .lines = {steep}});
  EXPECT_EQ(svg.find("200k"), std::string::npos) << "the y axis must not reach up to the first point";
}

TEST(DotChart, ShowsEverySeed) {
  const auto svg = dot_chart({.title = "accuracy", .x_label = "accuracy", .rows = {{"a", {0.1, 0.2, 0.3}}, {"b<", {0.5}}, {"none", {}}}});
  EXPECT_EQ(fault_of(svg), "");
  size_t circles = 0;
  for (size_t at = svg.find("<circle"); at != std::string::npos; at = svg.find("<circle", at + 1)) ++circles;
  EXPECT_EQ(circles, 4u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(Ticks, AreRoundAndInside) {
  EXPECT_EQ(ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  const auto marks = ticks(2.13, 2.61, 5);
  ASSERT_EQ(marks.size(), 5u);
  EXPECT_NEAR(marks.front(), 2.2, 1e-12);
  EXPECT_NEAR(marks.back(), 2.6, 1e-12);
}

TEST(Ticks, AreShownWithUnitsAndNoMoreDigitsThanNeeded) {
  EXPECT_EQ(tick_text(250e3, 250e3), "250k");
  EXPECT_EQ(tick_text(1.5e6, 0.5e6), "1.5M");
  EXPECT_EQ(tick_text(2e12, 1e12), "2T");
  EXPECT_EQ(tick_text(0.125, 0.005), "0.125");
  EXPECT_EQ(tick_text(3, 1), "3");
  EXPECT_EQ(tick_text(-0.5, 0.5), "-0.5");
  EXPECT_EQ(tick_text(1e-17, 0.2), "0");
}

TEST(ChartClass, TellsMoreLinesApartThanThereAreColours) {
  EXPECT_EQ(chart_class(3), "c3");
  EXPECT_EQ(chart_class(11), "c3 dashes");
  EXPECT_EQ(chart_class(19), "c3 dots");
}

TEST(Csv, QuotesWhatNeedsIt) {
  EXPECT_EQ(csv_line({"a", "b c", ""}), "a,b c,\n");
  EXPECT_EQ(csv_line({"a,b", "say \"x\"", "two\nlines"}), "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\n");
}

TEST(Csv, NumbersReadBackAsTheSame) {
  for (const double value : {0.1, 1.0 / 3, 1e-9, 123456789.0, 1e300, -2.5}) EXPECT_EQ(std::strtod(csv_number(value).c_str(), nullptr), value);
  EXPECT_EQ(csv_number(1800), "1800");
  EXPECT_EQ(csv_number(std::numeric_limits<double>::quiet_NaN()), "");
}

}  // namespace
}  // namespace lacuna
