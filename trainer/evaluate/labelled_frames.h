// Documents of corpora of frames with the class of one of their labels: what probes are fitted to and judged on.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "trainer/evaluate/evaluation.h"

namespace lacuna {

struct LabelledDocument {
  std::vector<Sample> samples;  // its windows; Sample::position numbers all samples of a LabelledFrames
  int64_t label = 0;
  std::string group;  // class of options.probe.group; empty where none is asked for
};
using Documents = std::vector<const LabelledDocument*>;

struct LabelledFrames {
  std::vector<LabelledDocument> fit, test;
  std::vector<std::string> classes;
  std::string label;
};

// Documents without the label are left out. Those to fit to are of the corpora options.probe.fit, and those to judge on of the
// validation corpora; or of each class every other document of the validation corpora goes to either. Throws a usage error where
// a corpus does not have the label, a data error where nothing is left.
LabelledFrames read_labelled(const EvaluationContext& context);

Documents pointers(const std::vector<LabelledDocument>& documents);
// `per_class` documents of each class, or all there are, drawn by `seed`; in their order.
Documents draw_per_class(const Documents& documents, int64_t per_class, uint64_t seed);
at::Tensor labels_of(const Documents& documents);  // (N) int64

}  // namespace lacuna
