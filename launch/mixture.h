// What [data] train names, as corpora: files, and tasks that are generated.
#pragma once
#include "launch/assemble.h"

namespace lacuna {

// In the order of the mixture, windowed as the objective asks. A task is written with the samples' tokenizer, from run.seed,
// and hides what it hides in the mixture's files. Throws a usage error where a task is not known or does not fit into rows, a
// data error where the objective needs to know which tokens are responses and a corpus does not tell.
std::vector<std::shared_ptr<const Corpus>> open_mixture(const Experiment& experiment, const SampleSpec& samples,
                                                        const Objective& objective);

}  // namespace lacuna
