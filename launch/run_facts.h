// run.json of a run's folder: what metrics.jsonl must be read with, so that curves of different networks and objectives compare.
#pragma once
#include <nlohmann/json.hpp>

#include "launch/assemble.h"

namespace lacuna {

// parameters; tokens_per_step (positions of a step's rows); text_tokens_per_step (tokens of the corpus that a step's rows are made
// of, which an objective may turn into more or fewer positions); flops_per_token (of a position, forward and backward, the
// objective's own networks included); flops_per_step; steps; ranks; device; host; version; commit.
nlohmann::ordered_json run_facts(const Experiment& experiment, const Layout& layout, const Network& network,
                                 const Objective& objective);

// How many parameters a network has over all tensor ranks, its objective's included.
int64_t count_parameters(const Network& network);

}  // namespace lacuna
