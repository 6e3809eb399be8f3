// Which state of the source the program was built from.
#pragma once
#include <string>

namespace lacuna {

// The commit's short hash, "+" behind it where files had changed since; "unknown" where the source was no git checkout.
std::string code_commit();

}  // namespace lacuna
