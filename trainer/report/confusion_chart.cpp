#include "trainer/report/confusion_chart.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "data/error.h"
#include "trainer/report/svg.h"

namespace lacuna {
namespace {

constexpr double kTop = 26, kRight = 8, kBottom = 26, kSideTitle = 20;
constexpr double kSmallestCell = 12, kLargestCell = 34;
constexpr size_t kLongestName = 14;
constexpr double kDigit = 6.6, kDigitHeight = 12;  // of a count
constexpr double kOpaque = 0.72;                   // from here on the page's background reads better than its text

int64_t sum(const std::vector<int64_t>& counts) { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }

void check(const Confusion& c) {
  bool whole = c.counts.size() == c.classes.size();
  for (const auto& line : c.counts) whole = whole && line.size() == c.classes.size();
  if (!whole)
    throw Error(ExitCode::internal, "a confusion matrix of " + std::to_string(c.classes.size()) + " classes has other counts");
}

// "seven: 30 of 45 right, 8 taken for nine; ..."
std::string description(const ConfusionChart& chart) {
  const auto& [classes, counts] = chart.confusion;
  std::string text = "Lines are the true " + chart.label + ", columns the predicted one. ";
  for (size_t i = 0; i < classes.size(); ++i) {
    const auto& line = counts[i];
    text += (i > 0 ? "; " : "") + classes[i] + ": " + std::to_string(line[i]) + " of " + std::to_string(sum(line)) + " right";
    size_t worst = i == 0 ? 1 : 0;
    for (size_t j = 0; j < line.size(); ++j) {
      if (j != i && line[j] > line[worst]) worst = j;
    }
    if (worst < line.size() && line[worst] > 0) text += ", " + std::to_string(line[worst]) + " taken for " + classes[worst];
  }
  return text;
}

std::string turned(double degrees, double x, double y) {
  return " transform=\"rotate(" + svg_number(degrees) + " " + svg_number(x) + " " + svg_number(y) + ")\"";
}

// Whether every count fits into cells of that size: some alone would look like all there are.
bool counts_fit(const std::vector<std::vector<int64_t>>& counts, double size) {
  int64_t most = 0;
  for (const auto& line : counts) most = std::max(most, line.empty() ? 0 : *std::max_element(line.begin(), line.end()));
  return kDigitHeight <= size && kDigit * static_cast<double>(std::to_string(most).size()) + 2 <= size;
}

// The shade, the count where it fits, and what both say, of `count` things of a line of `total`.
std::string cell(double x, double y, double size, int64_t count, int64_t total, bool fits, const std::string& words) {
  char opacity[16];
  const double share = static_cast<double>(count) / static_cast<double>(total);
  std::snprintf(opacity, sizeof opacity, "%.3f", share);
  const auto svg = "<rect class=\"cell\" x=\"" + svg_number(x) + "\" y=\"" + svg_number(y) + "\" width=\"" + svg_number(size) +
                   "\" height=\"" + svg_number(size) + "\" fill-opacity=\"" + opacity + "\"><title>" + xml_escape(words) +
                   "</title></rect>\n";
  if (!fits) return svg;
  return svg + svg_text(x + size / 2, y + size / 2 + 4, "middle", std::to_string(count), share > kOpaque ? " class=\"on\"" : "");
}

}  // namespace

void Confusion::add(const Confusion& other) {
  std::vector<size_t> places;
  for (const auto& name : other.classes) {
    const auto place = static_cast<size_t>(std::find(classes.begin(), classes.end(), name) - classes.begin());
    if (place == classes.size()) classes.push_back(name);
    places.push_back(place);
  }
  counts.resize(classes.size());
  for (auto& line : counts) line.resize(classes.size());
  for (size_t i = 0; i < places.size(); ++i) {
    for (size_t j = 0; j < places.size(); ++j) counts[places[i]][places[j]] += other.counts.at(i).at(j);
  }
}

std::string confusion_chart(const ConfusionChart& chart) {
  const auto& [classes, counts] = chart.confusion;
  check(chart.confusion);
  std::vector<std::string> names;
  size_t letters = 0;
  for (const auto& name : classes) {
    names.push_back(shortened(name, kLongestName));
    letters = std::max(letters, letters_of(names.back()));
  }
  const double longest = kLetterWidth * static_cast<double>(letters),
               number = static_cast<double>(std::max<size_t>(1, classes.size()));
  const double left = kSideTitle + longest + 8;
  const double size = std::clamp((kChartWidth - left - kRight) / number, kSmallestCell, kLargestCell), side = size * number;
  const bool fits = counts_fit(counts, size);
  const bool upright = longest + 2 > size;  // names of columns that do not fit side by side
  const double bottom = kTop + side, under = upright ? longest + 8 : 16;

  const double width = std::max(kChartWidth, left + side + kRight);
  auto svg = svg_opening(chart.title, width, bottom + under + kBottom);
  svg += "<desc>" + xml_escape(description(chart)) + "</desc>\n";
  for (size_t i = 0; i < classes.size(); ++i) {
    const double y = kTop + size * static_cast<double>(i), x = left + size * static_cast<double>(i), middle = x + size / 2;
    svg += svg_text(left - 6, y + size / 2 + 4, "end", names[i]);
    svg += upright ? svg_text(middle + 4, bottom + 6, "end", names[i], turned(-90, middle + 4, bottom + 6))
                   : svg_text(middle, bottom + 14, "middle", names[i]);
    svg += svg_rule(left, y, left + side, y) + svg_rule(x, kTop, x, bottom);
    const auto total = sum(counts[i]);
    for (size_t j = 0; j < classes.size(); ++j) {
      if (counts[i][j] == 0) continue;
      const auto words = std::to_string(counts[i][j]) + " of " + std::to_string(total) + " of " + classes[i] +
                         (i == j ? " told right" : " taken for " + classes[j]);
      svg += cell(left + size * static_cast<double>(j), y, size, counts[i][j], total, fits, words);
    }
  }
  svg += svg_rule(left, bottom, left + side, bottom, "axis") + svg_rule(left, kTop, left, bottom, "axis");
  svg += svg_text(left + side / 2, bottom + under + 16, "middle", "predicted " + chart.label);
  svg += svg_text(12, kTop + side / 2, "middle", "true " + chart.label, turned(-90, 12, kTop + side / 2));
  return svg + "</svg>\n";
}

}  // namespace lacuna
