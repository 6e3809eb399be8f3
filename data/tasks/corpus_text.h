// Text out of corpora, for questions to be hidden in.
#pragma once
#include <memory>
#include <vector>

#include "data/corpus.h"
#include "data/tasks/task.h"

namespace lacuna {

// Reads on from a sample that the number picks. The corpora must not be empty.
Haystack haystack_of(std::vector<std::shared_ptr<const Corpus>> corpora, std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace lacuna
