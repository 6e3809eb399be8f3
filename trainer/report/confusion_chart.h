// A confusion matrix as SVG (svg.h): how often things of each class were told to be of each.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace lacuna {

struct Confusion {
  std::vector<std::string> classes;
  std::vector<std::vector<int64_t>> counts;  // by class, then by the class told; as many lines and columns as classes

  // Adds counts of the same things, class by class of the same name; classes that are new here come last.
  void add(const Confusion& other);
};

struct ConfusionChart {
  std::string title, label;  // what is told of them: digit
  Confusion confusion;
};
// Lines are the classes, columns what was told. A cell is as opaque as its share of the line, and shows its count where all
// fit; cells without any are left empty. Cells have the class "cell", counts on opaque ones the class "on". The description
// says of every class how many were told right, and what it was most often taken for. Throws Error(internal) where the counts
// are not as many as the classes.
std::string confusion_chart(const ConfusionChart& chart);

}  // namespace lacuna
