// The way negative tests assert: the kind of failure, and words of the message that tell the user the mend.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "data/error.h"

namespace lacuna::testing {

// The message of the Error that `action` throws; "nothing was thrown" where it throws none.
template <class Action>
std::string error_message(ExitCode code, const Action& action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(code)) << e.what();
    return e.what();
  }
  return "nothing was thrown";
}

template <class Action>
void expect_error(ExitCode code, const std::string& words, const Action& action) {
  const auto message = error_message(code, action);
  EXPECT_NE(message, "nothing was thrown") << "expected an Error with: " << words;
  EXPECT_NE(message.find(words), std::string::npos) << "\"" << words << "\" is not in: " << message;
}

}  // namespace lacuna::testing
