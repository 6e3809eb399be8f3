// [evaluate.probe]: what labels of recordings and pictures are read off a network, and how.
#pragma once
#include "trainer/config/describe.h"

namespace lacuna {

struct ProbeOptions {
  std::string label;
  std::string group;
  PathList fit;
  int64_t labels_per_class = 0;
  int64_t seeds = 5;
  int64_t epochs = 30;
  int64_t rows = 32;
  double learning_rate = 1e-3;
};
template <class Visitor>
void describe(Visitor& visit, ProbeOptions& o) {
  visit("probe.label", o.label, "the label that is read off the network, such as digit; \"\" = the corpus's only one");
  visit("probe.group", o.group, "leave_one_group_out: the label whose classes are left out in turn, such as speaker");
  visit("probe.fit", o.fit, "corpora to fit to; [] = half of the validation corpora's documents; relative to this file");
  visit("probe.labels_per_class", o.labels_per_class, "documents of each class to fit to; 0 = all, and 6 of finetune",
        between(0, 1 << 20));
  visit("probe.seeds", o.seeds, "draws of labelled documents of finetune, the same for all arms", between(1, 100));
  visit("probe.epochs", o.epochs, "of training a whole network on labels", between(1, 10000));
  visit("probe.rows", o.rows, "rows of one step of it", at_least(1));
  visit("probe.learning_rate", o.learning_rate, "of it, with Adam", above(0));
}

}  // namespace lacuna
