// Short texts about one of eight topics: sentences whose nouns and verbs are the topic's or, as often, common to all.
#pragma once
#include <cstdint>
#include <string>

#include "data/random.h"

namespace lacuna {

constexpr int64_t kTopics = 8;
// At least so many letters, cut behind a sentence.
std::string topic_text(int64_t topic, int64_t letters, Random random);

}  // namespace lacuna
