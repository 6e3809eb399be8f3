// Parts of a step are in the trace of run.profile under their names.
#include "trainer/report/phase.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/support/temporary_folder.h"
#include "trainer/report/profile.h"

namespace lacuna {
namespace {

TEST(Phase, IsInTheTrace) {
  const testing::TemporaryFolder folder;
  const Profile profile(1, 1, folder.path() / "profile.json");
  in_phase("before the profile", [] {});
  profile.before(1);
  EXPECT_EQ(in_phase("data wait", [] { return 7; }), 7);
  EXPECT_TRUE(profile.after(1));
  std::ifstream in(profile.file());
  const std::string trace{std::istreambuf_iterator<char>(in), {}};
  EXPECT_NE(trace.find("\"data wait\""), std::string::npos);
  EXPECT_EQ(trace.find("before the profile"), std::string::npos);
}

}  // namespace
}  // namespace lacuna
