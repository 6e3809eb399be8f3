// A claim that a study tests, in words and in a form that a program can check: two arms, a metric, and what is expected of it.
//
//   [[claim]]
//   text = "MEAP's loss on clean text stays within 1.5 % of next-token prediction's"
//   metric = "loss/loss"
//   a = "meap"                        # a cell, or { axis = "arm" } for the cells that have it
//   b = "next_token"
//   check = "a / b < 1.015"           # a / b, a - b or a; < or >; a number
#pragma once
#include <array>
#include <string>
#include <vector>

#include "trainer/config/describe.h"
#include "trainer/report/statistics.h"

namespace lacuna {

// What is taken of an arm under one seed.
enum class Quantity {
  value,          // the metric after training, averaged over the arm's cells
  tokens_to_target,  // tokens of text until the metric's curve comes down to where b's curve ends: b's tokens are all of its own
  exponent        // s of metric = c * tokens^-s, fitted over the arm's cells (least squares of logarithms)
};
constexpr std::array<std::string_view, 3> names_of(Quantity) { return {"value", "tokens_to_target", "exponent"}; }

struct ClaimOptions {
  std::string text, metric;
  std::string metric_b = {};
  std::string check;
  Quantity quantity = Quantity::value;
};
template <class Visitor>
void describe(Visitor& visit, ClaimOptions& o) {
  visit("text", o.text, "the claim in words");
  visit("metric", o.metric, "TASK/NAME or TASK/SLICE/VALUE/NAME of an evaluation, train/NAME, or a column of cells.csv");
  visit("metric_b", o.metric_b, "what b calls it, where that is another name");
  visit("check", o.check, "a / b, a - b or a, then < or >, then a number");
  visit("quantity", o.quantity, "what is compared: value, tokens_to_target (a / b is then below 1 where a is faster) or exponent");
}

enum class Operation { alone, difference, ratio };
struct Check {
  Operation operation = Operation::difference;
  Relation relation = Relation::above;
  double threshold = 0;
};
// Throws a usage Error that shows the form where `text` has another one.
Check parse_check(const std::string& text);

struct Claim {
  ClaimOptions options;
  Check check;
  std::vector<std::string> a, b;  // names of cells; b empty where the check is of a alone
  std::string a_text, b_text;     // as the study writes them

  const std::string& metric_of_b() const { return options.metric_b.empty() ? options.metric : options.metric_b; }
};

}  // namespace lacuna
