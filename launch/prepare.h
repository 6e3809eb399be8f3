// `lacuna prepare`: text, recordings or pictures to a corpus. Works without MPI.
#pragma once
#include "launch/commands.h"

namespace lacuna {

void add_prepare(CLI::App& program, Command& chosen);

}  // namespace lacuna
