#include "data/perturbation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace lacuna {
namespace {

std::string apply(const std::string& text, Perturbation kind, double rate) { return perturbed(text, kind, rate, Random(3, 1)); }

const std::string kText = "The quick brown foxes of the 1st d\u00e9j\u00e0-vu garden\xff\xfe jumped, over\xe4 lazy dogs!";

TEST(Perturbation, NothingChangesAtRateZero) {
  for (const auto kind : {Perturbation::swap, Perturbation::replace, Perturbation::remove})
    EXPECT_EQ(apply(kText, kind, 0), kText);
  EXPECT_EQ(apply("", Perturbation::swap, 1), "");
}

TEST(Perturbation, EveryLetterOfLongWordsChangesAtRateOne) {
  EXPECT_EQ(apply("The quick, of 1st garden", Perturbation::swap, 1), "The uqcik, of 1st agdrne");
  EXPECT_EQ(apply("The quick, of 1st garden", Perturbation::remove, 1), "The , of 1st ");
  EXPECT_EQ(apply("The quick, of d\u00e9j\u00e0 vu", Perturbation::capitals, 0), "The QUICK, of D\u00c9J\u00c0 vu");
  const std::string word = "abcdefghijklmnopqrstuvwxyz\u00e9";
  const auto replaced = apply(word, Perturbation::replace, 1);
  ASSERT_EQ(replaced.size(), 27u);
  for (size_t i = 0; i < 26; ++i) {
    EXPECT_NE(replaced[i], word[i]);
    EXPECT_TRUE(replaced[i] >= 'a' && replaced[i] <= 'z');
  }
}

TEST(Perturbation, SwapsKeepAWordsLetters) {
  std::string text, mixed;
  for (int i = 0; i < 50; ++i) text += "wandering ";
  mixed = apply(text, Perturbation::swap, 0.5);
  EXPECT_NE(mixed, text);
  ASSERT_EQ(mixed.size(), text.size());
  std::set<std::string> forms;
  for (size_t i = 0; i < text.size(); i += 10) {
    auto word = mixed.substr(i, 10);
    forms.insert(word);
    std::sort(word.begin(), word.end());
    EXPECT_EQ(word, " adeginnrw");
  }
  EXPECT_GT(forms.size(), 20u) << "words are drawn one by one";
}

TEST(Perturbation, TheRateIsThatOfLetters) {
  const std::string text(20000, 'a');
  for (const double rate : {0.05, 0.3}) {
    const auto kept = static_cast<double>(apply(text, Perturbation::remove, rate).size());
    EXPECT_NEAR(1 - kept / 20000, rate, 5 * std::sqrt(rate * (1 - rate) / 20000));
    const auto replaced = apply(text, Perturbation::replace, rate);
    const auto changed = static_cast<double>(20000 - std::count(replaced.begin(), replaced.end(), 'a'));
    EXPECT_NEAR(changed / 20000, rate, 5 * std::sqrt(rate * (1 - rate) / 20000));
  }
  const auto few = apply(text, Perturbation::replace, 0.05), many = apply(text, Perturbation::replace, 0.3);
  for (size_t i = 0; i < text.size(); ++i) {
    if (few[i] == 'a') continue;
    EXPECT_EQ(many[i], few[i]) << "what changes at a rate changes at a higher one";
  }
}

TEST(Perturbation, TheSameNumbersGiveTheSameText) {
  for (const auto kind : {Perturbation::swap, Perturbation::replace, Perturbation::remove, Perturbation::capitals}) {
    EXPECT_EQ(apply(kText, kind, 0.3), apply(kText, kind, 0.3));
  }
  EXPECT_NE(perturbed(kText, Perturbation::replace, 0.3, Random(4, 1)), apply(kText, Perturbation::replace, 0.3));
}

}  // namespace
}  // namespace lacuna
