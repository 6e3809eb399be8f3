// What a GPU promises, and what it does: the two yardsticks of MFU, the share of a peak that a model's own FLOPs reach.
#pragma once
#include <optional>
#include <string>

#include "trainer/config/experiment.h"

namespace lacuna {

// FLOP/s of one GPU's dense products of that type by its data sheet, told by the driver's name; nothing for a GPU that is not
// known.
std::optional<double> promised_flops(const std::string& gpu, const PrecisionOptions& precision);

// FLOP/s of a large product of random numbers on the current device, which takes a third of a second and is then kept in the
// cache folder. Zeros would be multiplied faster: a chip at its limit of power is as fast as its numbers are dull.
double measured_flops(const PrecisionOptions& precision);

}  // namespace lacuna
