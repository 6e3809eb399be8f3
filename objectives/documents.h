// What every objective on token rows fills in the same way.
#pragma once
#include <span>

#include "data/batch.h"

namespace lacuna {

// (B) int64 Sample::position of each row.
at::Tensor stream_positions(std::span<const Sample> samples);

// Fills segments (documents within the row, from 1), documents and positions (restarting with each document) of a batch whose slot t holds
// the sample's token t.
void add_documents(Batch& batch, std::span<const Sample> samples);

}  // namespace lacuna
