#include "trainer/report/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace lacuna {
namespace {

constexpr double kLineHeight = 280, kRowHeight = 22;
constexpr double kTop = 28, kRight = 14, kBottom = 44;

// Where a value lies in the picture.
struct Scale {
  double low, high, from, to;
  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

double step_of(const std::vector<double>& marks) { return marks.size() > 1 ? marks[1] - marks[0] : std::abs(marks[0]); }

// Marks, their rules and the label of a horizontal axis at the bottom of the plot.
std::string x_axis(const Scale& x, double top, double bottom, const std::string& label) {
  std::string svg;
  const auto marks = ticks(x.low, x.high, 5);
  for (const double mark : marks) {
    svg += svg_rule(x(mark), top, x(mark), bottom);
    svg += svg_text(x(mark), bottom + 15, x(mark) > kChartWidth - 30 ? "end" : "middle", tick_text(mark, step_of(marks)));
  }
  return svg + svg_text((x.from + x.to) / 2, bottom + 34, "middle", label);
}

// A range that is a little wider than the values and never empty.
void widen(double& low, double& high) {
  if (!(low <= high)) low = 0, high = 1;
  const double margin = high > low ? 0.04 * (high - low) : std::max(1e-3, 0.1 * std::abs(high));
  low -= margin, high += margin;
}

std::string path_of(const std::vector<ChartPoint>& points, const Scale& x, const Scale& y) {
  std::string path;
  for (const auto& p : points) path += (path.empty() ? "M" : "L") + svg_number(x(p.x)) + " " + svg_number(y(p.mean));
  return path;
}

std::string band_of(const std::vector<ChartPoint>& points, const Scale& x, const Scale& y) {
  std::string path;
  for (const auto& p : points) path += (path.empty() ? "M" : "L") + svg_number(x(p.x)) + " " + svg_number(y(p.high));
  for (auto p = points.rbegin(); p != points.rend(); ++p) path += "L" + svg_number(x(p->x)) + " " + svg_number(y(p->low));
  return path + "Z";
}

}  // namespace

std::string chart_class(size_t number) {
  return "c" + std::to_string(number % 8) + (number >= 16 ? " dots" : number >= 8 ? " dashes" : "");
}

std::vector<double> ticks(double low, double high, int count) {
  const double rough = (high - low) / count, power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= rough) step = factor * power;
  }
  std::vector<double> marks;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i) marks.push_back(i * step);
  return marks;
}

std::string tick_text(double value, double step) {
  constexpr std::array<std::pair<double, const char*>, 7> kUnits{
      {{1e18, "E"}, {1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}}};
  double unit = 1;
  const char* name = "";
  for (const auto& [size, letter] : kUnits) {
    if (std::abs(value) < size * (1 - 1e-9) || size == 1) continue;
    unit = size, name = letter;
    break;
  }
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(step / unit) - 1e-9)), 0, 6);
  char text[48];
  std::snprintf(text, sizeof text, "%.*f%s", decimals, value / unit, name);
  return std::abs(value) < 1e-9 * step ? "0" : text;
}

std::string line_chart(const LineChart& chart) {
  double x_high = 0;
  for (const auto& line : chart.lines) {
    for (const auto& point : line.points) x_high = std::max(x_high, point.x);
  }
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const auto& line : chart.lines) {
    for (const auto& point : line.points) {
      if (point.x < x_high / 12 && line.points.back().x >= x_high / 12) continue;
      low = std::min(low, point.low), high = std::max(high, point.high);
    }
  }
  widen(low, high);
  const auto marks = ticks(low, high, 5);
  size_t letters = 0;
  for (const double mark : marks) letters = std::max(letters, tick_text(mark, step_of(marks)).size());
  const double left = 26 + kLetterWidth * static_cast<double>(letters), bottom = kLineHeight - kBottom;
  const Scale x{0, x_high > 0 ? x_high : 1, left, kChartWidth - kRight}, y{low, high, bottom, kTop};

  auto svg = svg_opening(chart.title, kChartWidth, kLineHeight);
  const std::string name = "clip" + std::to_string(std::hash<std::string>{}(chart.title + chart.x_label));
  svg += "<clipPath id=\"" + name + "\"><rect x=\"" + svg_number(left) + "\" y=\"" + svg_number(kTop) + "\" width=\"" +
         svg_number(x.to - left) + "\" height=\"" + svg_number(bottom - kTop) + "\"/></clipPath>\n";
  for (const double mark : marks) {
    svg += svg_rule(left, y(mark), x.to, y(mark)) + svg_text(left - 6, y(mark) + 4, "end", tick_text(mark, step_of(marks)));
  }
  svg += x_axis(x, kTop, bottom, chart.x_label);
  svg += svg_text(12, (kTop + bottom) / 2, "middle", chart.y_label,
                 " transform=\"rotate(-90 12 " + svg_number((kTop + bottom) / 2) + ")\"");
  svg += svg_rule(left, bottom, x.to, bottom, "axis") + svg_rule(left, kTop, left, bottom, "axis");
  svg += "<g clip-path=\"url(#" + name + ")\">\n";
  for (size_t i = 0; i < chart.lines.size(); ++i) {
    const auto& points = chart.lines[i].points;
    if (points.size() > 1) svg += "<path class=\"band " + chart_class(i) + "\" d=\"" + band_of(points, x, y) + "\"/>\n";
  }
  for (size_t i = 0; i < chart.lines.size(); ++i) {
    const auto& line = chart.lines[i];
    if (line.points.empty()) continue;
    svg += "<path class=\"line " + chart_class(i) + "\" d=\"" + path_of(line.points, x, y) + "\"><title>" + xml_escape(line.name) +
           "</title></path>\n";
    const auto& last = line.points.back();
    svg += "<circle class=\"dot " + chart_class(i) + "\" cx=\"" + svg_number(x(last.x)) + "\" cy=\"" + svg_number(y(last.mean)) + "\" r=\"2.5\"/>\n";
  }
  return svg + "</g>\n</svg>\n";
}

std::string dot_chart(const DotChart& chart) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  size_t letters = 0;
  for (const auto& row : chart.rows) {
    letters = std::max(letters, row.name.size());
    for (const double value : row.values) low = std::min(low, value), high = std::max(high, value);
  }
  widen(low, high);
  const double left = std::min(0.45 * kChartWidth, 10 + kLetterWidth * static_cast<double>(letters));
  const double bottom = kTop + kRowHeight * static_cast<double>(chart.rows.size());
  const Scale x{low, high, left, kChartWidth - kRight};
  auto svg = svg_opening(chart.title, kChartWidth, bottom + kBottom) + x_axis(x, kTop, bottom, chart.x_label);
  const auto fits = static_cast<size_t>((left - 10) / kLetterWidth);
  for (size_t i = 0; i < chart.rows.size(); ++i) {
    const auto& row = chart.rows[i];
    const double y = kTop + kRowHeight * (static_cast<double>(i) + 0.5);
    svg += svg_text(left - 6, y + 4, "end", shortened(row.name, fits + 1));
    const auto summary = summarize(row.values);
    if (summary.count == 0) continue;
    const std::string style = chart_class(i);
    const double error = std::isfinite(summary.standard_error) ? summary.standard_error : 0;
    svg += svg_rule(x(summary.mean - error), y, x(summary.mean + error), y, "error " + style);
    svg += svg_rule(x(summary.mean), y - 7, x(summary.mean), y + 7, "error " + style);
    for (const double value : row.values) {
      svg += "<circle class=\"seed " + style + "\" cx=\"" + svg_number(x(value)) + "\" cy=\"" + svg_number(y) + "\" r=\"3.5\"/>\n";
    }
  }
  return svg + svg_rule(left, bottom, x.to, bottom, "axis") + "</svg>\n";
}

}  // namespace lacuna
