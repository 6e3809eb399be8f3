// Whatever the layout, an evaluation says the same on every rank.
#include <gtest/gtest.h>
#include <mpi.h>

#include "tests/support/judged_network.h"
#include "trainer/evaluate/catalog.h"

namespace lacuna {
namespace {

using testing::JudgedNetwork;

std::vector<nlohmann::ordered_json> judged(const Section& section, std::unique_ptr<Mesh> mesh) {
  JudgedNetwork subject(section, std::move(mesh));
  const auto offers = subject.network->offers();
  const bool next_token_fits = offers.visibility == Visibility::causal && !offers.encoder;
  std::vector<nlohmann::ordered_json> lines;
  for (const char* task : {"loss", "key_value", "induction", "dyck", "smoothness", "topic_probe"}) {
    // A text of each topic; few of all, since ranks may share a core.
    subject.options.examples = std::string(task) == "topic_probe" ? 8 : 5;
    subject.options.sizes = std::string(task) == "key_value" ? std::vector<int64_t>{2} : std::vector<int64_t>{8};
    if (std::string(task) != "loss" && std::string(task) != "smoothness") subject.corpora.clear();
    if (!next_token_fits && !subject.corpora.empty()) continue;
    for (auto& line : find_evaluation(task).make()->run(subject.context())) lines.push_back(line);
    if (subject.corpora.empty()) subject.corpora = JudgedNetwork(section, make_self_mesh()).corpora;
  }
  return lines;
}

// Numbers within rounding, everything else alike.
void expect_same(const nlohmann::ordered_json& expected, const nlohmann::ordered_json& got, const std::string& where) {
  ASSERT_EQ(expected.size(), got.size()) << where;
  if (expected.is_number()) {
    EXPECT_NEAR(got.get<double>(), expected.get<double>(), 1e-4 * std::max(1.0, std::abs(expected.get<double>()))) << where;
  } else if (expected.is_structured()) {
    for (const auto& [key, value] : expected.items()) {
      ASSERT_TRUE(expected.is_array() || got.contains(key)) << where << "." << key;
      expect_same(value, expected.is_array() ? got[std::stoul(key)] : got[key], where + "." + key);
    }
  } else {
    EXPECT_EQ(expected, got) << where;
  }
}

TEST(Evaluations, AreTheSameOnEveryLayoutAndRank) {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  for (const auto& section : testing::writers()) {
    const auto expected = judged(section, make_self_mesh());
    ASSERT_GE(expected.size(), 4u);
    for (int64_t tensor = 1; tensor <= size; tensor *= 2) {
      expect_same(nlohmann::ordered_json(expected), nlohmann::ordered_json(judged(section, make_mpi_mesh(tensor))),
                  std::to_string(size / tensor) + "x" + std::to_string(tensor));
    }
  }
}

}  // namespace
}  // namespace lacuna
