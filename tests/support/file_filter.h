// Runs the tests of one source file: CTest has an entry a file, and every file of a folder is in one program.
#pragma once
#include <string>

namespace lacuna::testing {

// The value of `--NAME=VALUE` among the arguments, or "" where it is absent.
std::string argument(int argc, char** argv, const std::string& name);

// Sets GoogleTest's filter to the tests whose source ends in `file` ("unit/mesh_test.cpp"); an empty `file` changes nothing.
// Call it after InitGoogleTest. False where no test matches, which is an error: an entry that runs nothing must not pass.
bool select_file(const std::string& file);

}  // namespace lacuna::testing
