#include "trainer/model/architecture.h"

#include "data/error.h"

namespace lacuna {

std::unique_ptr<Generation> Architecture::generate(int64_t) {
  throw usage_error("this architecture cannot continue a prompt; train one that generates, such as a causal decoder");
}

}  // namespace lacuna
