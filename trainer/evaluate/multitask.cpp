#include "trainer/evaluate/multitask.h"

#include <algorithm>

namespace lacuna {

void MultitaskEvaluation::conclude(nlohmann::ordered_json& line) const {
  const auto& kinds = line["slices"]["kind_by_family_by_template"];
  nlohmann::ordered_json figures;
  for (const auto& [kind, families] : kinds.items()) {
    double medians = 0, texts = 0, with_text = 0;
    for (const auto& [family, wordings] : families.items()) {
      std::vector<double> accuracies;
      for (const auto& [wording, entry] : wordings.items()) {
        const auto accuracy = entry["accuracy"].get<double>();
        if (wording == "0") {
          texts += accuracy, ++with_text;
        } else {
          accuracies.push_back(accuracy);
        }
      }
      std::sort(accuracies.begin(), accuracies.end());
      const size_t n = accuracies.size();
      if (n > 0) medians += (accuracies[(n - 1) / 2] + accuracies[n / 2]) / 2;
    }
    figures["median_" + kind] = medians / static_cast<double>(families.size());
    if (with_text > 0) figures["text_" + kind] = texts / with_text;
  }
  line.update(figures);
}

}  // namespace lacuna
