// Charts of lines and dots as SVG (svg.h). Lines and dots have the classes c0 to c7.
#pragma once
#include <string>
#include <vector>

#include "trainer/report/statistics.h"
#include "trainer/report/svg.h"

namespace lacuna {

struct ChartPoint {
  double x = 0, mean = 0, low = 0, high = 0;  // the band is from low to high
};
struct ChartLine {
  std::string name;
  std::vector<ChartPoint> points;  // by rising x
};
struct LineChart {
  std::string title, x_label, y_label;  // labels with their units
  std::vector<ChartLine> lines;
};
// The y axis fits the lines from a twelfth of the x range on: where they start would press them flat.
std::string line_chart(const LineChart& chart);

struct DotRow {
  std::string name;
  std::vector<double> values;  // one a seed
};
struct DotChart {
  std::string title, x_label;
  std::vector<DotRow> rows;
};
// A row a cell: a dot a seed, and a bar of mean +- standard error.
std::string dot_chart(const DotChart& chart);

// The class of the line or row of that number: colour, and dashes from the ninth on.
std::string chart_class(size_t number);

// Round numbers from low to high, about `count` of them: 1, 2 or 5 times a power of ten apart.
std::vector<double> ticks(double low, double high, int count);
// As an axis shows it: 250k, 1.5M, 2T; 0.125.
std::string tick_text(double value, double step);

}  // namespace lacuna
