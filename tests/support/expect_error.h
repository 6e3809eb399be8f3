// The way negative tests assert: the kind of failure, and words of the message that tell the user the mend.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "data/error.h"

namespace lacuna::testing {

template <class Action>
void expect_error(ExitCode code, const std::string& words, const Action& action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(code)) << e.what();
    EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << "\"" << words << "\" is not in: " << e.what();
    return;
  }
  ADD_FAILURE() << "no Error was thrown; expected one with: " << words;
}

}  // namespace lacuna::testing
