#include "trainer/objective.h"

#include <algorithm>

namespace lacuna {

std::optional<std::string> misfit(const Needs& needs, const Offers& offers) {
  if (needs.modality != offers.modality) {
    return "the objective works on " + needs.modality + ", the architecture on " + offers.modality;
  }
  if (needs.encoder && !offers.encoder) return "the objective needs an encoder beside the decoder";
  if (!needs.encoder && offers.encoder) return "the architecture has an encoder, which the objective gives nothing to read";
  if (std::find(needs.visibility.begin(), needs.visibility.end(), offers.visibility) == needs.visibility.end()) {
    std::string wanted;
    for (const auto v : needs.visibility) wanted += (wanted.empty() ? "\"" : " or \"") + std::string(name_of(v)) + "\"";
    return "the objective needs visibility = " + wanted + ", the architecture has \"" + std::string(name_of(offers.visibility)) +
           "\"";
  }
  return std::nullopt;
}

}  // namespace lacuna
