// Options as text and back: what `describe` says once serves printing, parsing and complaining.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "trainer/config/experiment.h"
#include "trainer/config/to_toml.h"
#include "trainer/config/toml_reader.h"

namespace lacuna {
namespace {

enum class Fruit { apple, pear, quince };
constexpr std::array<std::string_view, 3> names_of(Fruit) { return {"apple", "pear", "quince"}; }

struct EveryType {
  bool flag = true;
  int64_t count = 3;
  double share = 1e-3;
  std::string word = "a";
  std::vector<std::string> words = {"b"};
  std::vector<int64_t> counts = {1, 2};
  PathList paths;
  Mixture mixture;
  Fruit fruit = Fruit::pear;
};
template <class Visitor>
void describe(Visitor& visit, EveryType& o) {
  visit("flag", o.flag, "yes or no");
  visit("count", o.count, "how many", at_least(1));
  visit("share", o.share, "of the whole", between(0, 4));
  visit("word", o.word, "any");
  visit("words", o.words, "any");
  visit("counts", o.counts, "how many of each", above(0));
  visit("paths", o.paths, "files");
  visit("mixture", o.mixture, "files with weights");
  visit("fruit", o.fruit, "the fruit");
}

Section section_of(const std::string& text) {
  const auto source = std::make_shared<const Source>(Source{"file.toml", "/folder"});
  return {"objective", std::make_shared<const SectionValues>(SectionValues{parse_toml(text, source), Place{source}})};
}

// Gives every field a value that is not its default and that its range allows.
void change(const Field& field) {
  const Range& range = field.range;
  const double low = std::isfinite(range.low) ? range.low : 0;
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, bool*>) *value = !*value;
        if constexpr (std::is_same_v<T, int64_t*>) *value += *value + 1 <= range.high ? 1 : -1;
        if constexpr (std::is_same_v<T, double*>) *value = low + (std::isfinite(range.high) ? (range.high - low) / 3 : 1.0 / 3);
        if constexpr (std::is_same_v<T, std::string*>) *value = "\"quotes\" \\ tab\t line\n bell\a delete\x7f umlaut \u00fc '''";
        if constexpr (std::is_same_v<T, std::vector<std::string>*>) *value = {"", "\\n", "]"};
        if constexpr (std::is_same_v<T, std::vector<int64_t>*>) *value = {1, std::numeric_limits<int64_t>::max()};
        if constexpr (std::is_same_v<T, PathList*>) value->paths = {"/a b.h5", "/\"c\".h5"};
        if constexpr (std::is_same_v<T, Mixture*>) *value = {{"/a.h5", 1}, {"/b.h5", 0.1}, {"/c.h5", 1e-300}};
        if constexpr (std::is_same_v<T, Choice>) value.set(value.names.size() - 1);
      },
      field.value);
}

void expect_equal(const Field& a, const Field& b) {
  std::visit(
      [&](const auto& x) {
        using T = std::decay_t<decltype(x)>;
        const auto& y = std::get<T>(b.value);
        if constexpr (std::is_same_v<T, Choice>) {
          EXPECT_EQ(x.get(), y.get()) << a.key;
        } else {
          EXPECT_TRUE(*x == *y) << a.key;
        }
      },
      a.value);
}

template <class Options>
class Described : public testing::Test {};
using AllOptions = testing::Types<RunOptions, DataOptions, BatchOptions, ParallelOptions, PrecisionOptions, CheckpointOptions,
                                  EvaluateOptions, EveryType>;
TYPED_TEST_SUITE(Described, AllOptions);

TYPED_TEST(Described, PrintsAndParsesBack) {
  TypeParam options;
  const auto fields = fields_of(options);
  for (const bool changed : {false, true}) {
    if (changed) std::for_each(fields.begin(), fields.end(), change);
    for (const bool with_docs : {false, true}) {
      const auto text = to_toml(fields, with_docs);
      auto read = section_of(text).template read<TypeParam>();
      const auto read_fields = fields_of(read);
      for (size_t i = 0; i < fields.size(); ++i) expect_equal(fields[i], read_fields[i]);
      EXPECT_EQ(to_toml(read_fields, with_docs), text);
    }
  }
}

TYPED_TEST(Described, EveryFieldRefusesAWrongTypeByName) {
  TypeParam options;
  for (const Field& field : fields_of(options)) {
    const std::string key(field.key);
    for (const char* wrong : {"2024-01-01", "{ a = 1 }", "[[1]]", "[{ corpus = 3 }]"}) {
      try {
        section_of("\n  " + key + " = " + wrong + "\n").template read<TypeParam>();
        ADD_FAILURE() << key << " takes " << wrong;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        EXPECT_NE(std::string(error.what()).find("[objective] " + key + ": "), std::string::npos) << error.what();
        EXPECT_EQ(std::string(error.what()).find("file.toml:2:"), 0u) << error.what();
      }
    }
  }
}

TYPED_TEST(Described, EveryRangeHoldsItsDefaultAndRefusesWhatIsOutside) {
  TypeParam options;
  for (const Field& field : fields_of(options)) {
    if (range_text(field.range).empty()) continue;
    const bool is_array = std::holds_alternative<std::vector<int64_t>*>(field.value);
    const std::string number = std::to_string(static_cast<int64_t>(field.range.low) - 1);
    try {
      section_of(std::string(field.key) + " = " + (is_array ? "[" + number + "]" : number)).template read<TypeParam>();
      ADD_FAILURE() << field.key << " takes " << number;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(range_text(field.range)), std::string::npos) << error.what();
    }
  }
}

TEST(Describe, DecimalsAreShortAndStayFloats) {
  EXPECT_EQ(to_decimal(1e-3), "0.001");
  EXPECT_EQ(to_decimal(3), "3.0");
  EXPECT_EQ(to_decimal(-0.1), "-0.1");
  for (const double value : {1e-8, 1e22, 1.0 / 3, 5e-324, 1.7976931348623157e308, 123456789.0, -2.5, 1e15, 100000.0}) {
    const auto table = parse_toml("x = " + to_decimal(value), std::make_shared<const Source>());
    ASSERT_NE(table.at("x").as<double>(), nullptr) << to_decimal(value);
    EXPECT_EQ(*table.at("x").as<double>(), value);
  }
}

TEST(Describe, RangesReadAsEnglish) {
  EXPECT_EQ(range_text({}), "");
  EXPECT_EQ(range_text(at_least(0.5)), "at least 0.5");
  EXPECT_EQ(range_text(above(0)), "above 0");
  EXPECT_EQ(range_text(between(1, 8)), "between 1 and 8");
  EXPECT_EQ(range_text(from_below(0, 1)), "at least 0 and below 1");
  EXPECT_EQ(range_text({.high = 2}), "at most 2");
}

TEST(Describe, TheReferenceTableIsAligned) {
  EveryType options;
  EXPECT_EQ(reference_table(fields_of(options)),
            "key      default  values                                meaning\n"
            "flag     true     true | false                          yes or no\n"
            "count    3        integer, at least 1                   how many\n"
            "share    0.001    number, between 0 and 4               of the whole\n"
            "word     \"a\"      string                                any\n"
            "words    [\"b\"]    array of strings                      any\n"
            "counts   [1, 2]   array of integers, above 0            how many of each\n"
            "paths    []       array of paths                        files\n"
            "mixture  []       array of paths or { corpus, weight }  files with weights\n"
            "fruit    \"pear\"   apple | pear | quince                 the fruit\n");
}

TEST(Describe, NearestFindsTyposAndNothingElse) {
  const std::vector<std::string_view> keys = {"num_layers", "num_heads", "learning_rate", "cpu", "every"};
  EXPECT_EQ(nearest("num_layer", keys), "num_layers");
  EXPECT_EQ(nearest("nmu_heads", keys), "num_heads");
  EXPECT_EQ(nearest("learnign_rate", keys), "learning_rate");
  EXPECT_EQ(nearest("cup", keys), "cpu");
  EXPECT_EQ(nearest("wide", keys), "");
  EXPECT_EQ(nearest(std::string(1 << 20, 'n'), keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest("word", {}), "");
}

}  // namespace
}  // namespace lacuna
