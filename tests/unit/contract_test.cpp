// The contract on the CPU, and what the catalogs themselves owe.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "tests/support/contract.h"
#include "tests/support/expect_error.h"

namespace lacuna {
namespace {

using namespace testing;

class Contract : public ::testing::TestWithParam<ContractCase> {};

TEST_P(Contract, Holds) {
  ContractRun run(GetParam().pair, GetParam().place);
  GetParam().clause.holds(run);
}

const Place kPlaces[] = {{.name = "cpu"}};
INSTANTIATE_TEST_SUITE_P(Catalog, Contract, ::testing::ValuesIn(contract_cases(kPlaces)),
                         [](const auto& tested) { return tested.param.name(); });

TEST(CatalogContract, EveryPairFitsOrSaysWhy) {
  for (const auto& objective : objectives()) {
    for (const auto& architecture : architectures()) {
      EXPECT_NE(try_pair(objective, architecture).reason, "no reason was given") << objective.name << " on " << architecture.name;
    }
  }
}

TEST(CatalogContract, EveryEntryIsPartOfAPairThatFits) {
  std::map<std::string_view, int> fits;
  for (const auto& pair : fitting_pairs()) ++fits[pair.objective->name], ++fits[pair.architecture->name];
  for (const auto& objective : objectives()) EXPECT_GT(fits[objective.name], 0) << objective.name;
  for (const auto& architecture : architectures()) EXPECT_GT(fits[architecture.name], 0) << architecture.name;
}

TEST(CatalogContract, ADefaultSectionIsTaken) {
  for (const auto& architecture : architectures()) {
    EXPECT_NO_THROW(architecture.offers(Section(), 1)) << architecture.name;
    EXPECT_NO_THROW(architecture.offers(tiny_architecture(), 1)) << architecture.name;
  }
}

// Reads "key = value" lines back, one --set each.
Section parsed(const std::string& toml) {
  Section section;
  std::istringstream lines(toml);
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find(" = ");
    EXPECT_NE(equals, std::string::npos) << line;
    if (equals != std::string::npos) section = section.with(line.substr(0, equals), line.substr(equals + 3));
  }
  return section;
}

TEST(CatalogContract, OptionsPrintAndParseBack) {
  for (const auto& o : objectives()) {
    const auto printed = o.resolve(Section());
    EXPECT_EQ(o.resolve(parsed(printed)), printed) << o.name;
  }
  for (const auto& a : architectures()) {
    const auto printed = a.resolve(tiny_architecture());
    EXPECT_EQ(a.resolve(parsed(printed)), printed) << a.name;
    EXPECT_NE(printed, a.resolve(Section())) << a.name << " prints defaults, not what it was given";
  }
}

TEST(CatalogContract, AnUnknownNameIsAnsweredWithTheNearest) {
  using testing::expect_error;
  expect_error(ExitCode::usage, "did you mean \"next_token\"?", [] { find_objective(Section().with("kind", "\"next_tokn\"")); });
  expect_error(ExitCode::usage, "did you mean \"decoder\"?", [] { find_architecture(Section().with("kind", "\"decodr\"")); });
}

TEST(CatalogContract, AMisfitNamesTheVisibilityThatIsMissing) {
  const auto full = find_architecture(Section()).offers(tiny_architecture().with("visibility", "\"full\""), 1);
  const auto reason = misfit(find_objective(Section()).needs(Section()), full);
  ASSERT_TRUE(reason) << "next-token prediction on a network that sees the next token";
  EXPECT_NE(reason->find("causal"), std::string::npos) << *reason;
}

}  // namespace
}  // namespace lacuna
