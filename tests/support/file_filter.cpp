#include "tests/support/file_filter.h"

#include <gtest/gtest.h>

#include <string_view>

namespace lacuna::testing {

std::string argument(int argc, char** argv, const std::string& name) {
  const std::string prefix = "--" + name + "=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view text = argv[i];
    if (text.starts_with(prefix)) return std::string(text.substr(prefix.size()));
  }
  return "";
}

bool select_file(const std::string& file) {
  if (file.empty()) return true;
  std::string filter;
  const auto& all = *::testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const auto& suite = *all.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const auto& test = *suite.GetTestInfo(j);
      if (std::string_view(test.file()).ends_with("/" + file)) {
        filter += std::string(filter.empty() ? "" : ":") + suite.name() + "." + test.name();
      }
    }
  }
  if (filter.empty()) return false;
  GTEST_FLAG_SET(filter, filter);
  return true;
}

}  // namespace lacuna::testing
