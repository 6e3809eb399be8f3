// Reading TOML: places, limits, includes, --set.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/support/expect_error.h"
#include "trainer/config/experiment.h"
#include "trainer/config/merge.h"
#include "trainer/config/toml_guard.h"

namespace lacuna {
namespace {

using ::testing::Test;
namespace fs = std::filesystem;

std::string usage_message(const std::function<void()>& action) { return testing::error_message(ExitCode::usage, action); }

void expect_starts(const std::string& text, const std::string& start) { EXPECT_EQ(text.substr(0, start.size()), start) << text; }
void expect_holds(const std::string& text, const std::string& part) { EXPECT_NE(text.find(part), std::string::npos) << text; }

constexpr const char* kSmall = "[run]\nsteps = 20\n[batch]\nglobal_size = 8\n[architecture]\nnum_layers = 2\nhidden_size = 64\n";

Experiment read(const std::string& text, const std::vector<std::string>& sets = {}) {
  return read_experiment_text(text, "file.toml", "/configs", sets);
}
std::string mistake(const std::string& text, const std::vector<std::string>& sets = {}) {
  return usage_message([&] { read(text, sets); });
}

enum class Shape { round, square };
constexpr std::array<std::string_view, 2> names_of(Shape) { return {"round", "square"}; }
struct NetOptions {
  int64_t num_layers = 1, hidden_size = 8;
  double dropout = 0;
  bool tied = true;
  Shape shape = Shape::round;
  std::vector<int64_t> spans;
};
template <class Visitor>
void describe(Visitor& visit, NetOptions& o) {
  visit("num_layers", o.num_layers, "layers", at_least(1));
  visit("hidden_size", o.hidden_size, "width", at_least(1));
  visit("dropout", o.dropout, "share of values set to 0", from_below(0, 1));
  visit("tied", o.tied, "head is the embedding");
  visit("shape", o.shape, "of the thing");
  visit("spans", o.spans, "of attention", above(0));
}
NetOptions net(const std::string& keys) { return read(std::string(kSmall) + keys).architecture.read<NetOptions>(); }
std::string net_mistake(const std::string& keys) {
  return usage_message([&] { net(keys); });
}

TEST(Config, ValuesOverwriteDefaults) {
  const auto e = read(kSmall);
  EXPECT_EQ(e.run.steps, 20);
  EXPECT_EQ(e.batch.global_size, 8);
  EXPECT_EQ(e.batch.sequence_length, 256);
  EXPECT_EQ(e.architecture.kind("decoder"), "decoder");
  const auto o = net("dropout = 0\ntied = false\nshape = \"square\"\nspans = [1_000, 2]\n");
  EXPECT_EQ(o.num_layers, 2);
  EXPECT_EQ(o.dropout, 0.0);  // an integer serves for a number
  EXPECT_FALSE(o.tied);
  EXPECT_EQ(o.shape, Shape::square);
  EXPECT_EQ(o.spans, (std::vector<int64_t>{1000, 2}));
}

TEST(Config, AnUnknownKeyNamesItsPlaceAndTheNearest) {
  EXPECT_EQ(net_mistake("  num_layer = 3\n"),
            "file.toml:8:3: [architecture] num_layer is not a key; did you mean num_layers? "
            "(keys: kind, num_layers, hidden_size, dropout, tied, shape, spans)");
  expect_starts(mistake("[run]\nsteps = 1\nstep = 1\n"),
                "file.toml:3:1: [run] step is not a key; did you mean steps? (keys: name");
}

TEST(Config, OnlySectionsOfKindsTakeAKind) {
  expect_starts(mistake("[run]\nsteps = 1\nkind = \"x\"\n"), "file.toml:3:1: [run] kind is not a key");
  expect_holds(usage_message([&] { read("[run]\nsteps = 1\n[optimizer]\nkind = 3\n").optimizer.kind("adamw"); }),
               "file.toml:4:1: [optimizer] kind: must be a string, not the integer 3");
}

TEST(Config, WrongTypesAreExplained) {
  const auto expect = [](const std::string& line, const std::string& message) {
    EXPECT_EQ(net_mistake(line + "\n"), "file.toml:8:1: [architecture] " + message);
  };
  expect("tied = 1", "tied: must be true or false, not the integer 1");
  expect("dropout = \"none\"", "dropout: must be a number, not the string \"none\"");
  expect("dropout = 2024-01-01", "dropout: must be a number, not a date or time");
  expect("shape = true", "shape: must be one of the words of this key, not true");
  expect("spans = 3", "spans: must be an array of integers, not the integer 3");
  EXPECT_EQ(net_mistake("spans = [1, 2.0]\n"), "file.toml:8:13: [architecture] spans: must be an integer, not the number 2.0");
  EXPECT_EQ(mistake("[run]\nsteps = 3.0\n"), "file.toml:2:1: [run] steps: must be an integer, not the number 3.0");
  EXPECT_EQ(mistake("[run]\nsteps = {}\n"), "file.toml:2:1: [run] steps: must be an integer, not a table");
}

TEST(Config, RangesAreNamed) {
  EXPECT_EQ(mistake("[run]\nsteps = -1\n"), "file.toml:2:1: [run] steps: must be at least 0, not the integer -1");
  EXPECT_EQ(net_mistake("dropout = 1.0\n"),
            "file.toml:8:1: [architecture] dropout: must be at least 0 and below 1, not the number 1.0");
  EXPECT_EQ(net_mistake("spans = [3, 0]\n"), "file.toml:8:13: [architecture] spans: must be above 0, not the integer 0");
  EXPECT_EQ(mistake("[run]\nsteps = 1\n[batch]\nsequence_length = 2000000\n"),
            "file.toml:4:1: [batch] sequence_length: must be between 1 and 1048576, not the integer 2000000");
  for (const char* value : {"nan", "-nan", "inf", "-inf", "1e999"})
    expect_starts(net_mistake(std::string("dropout = ") + value + "\n"), "file.toml:8:");
  EXPECT_EQ(net_mistake("dropout = nan\n"), "file.toml:8:1: [architecture] dropout: must be a finite number, not the number nan");
}

TEST(Config, UnknownWordsAreExplained) {
  EXPECT_EQ(mistake("[run]\nsteps = 1\ndevice = \"cpuu\"\n"),
            "file.toml:3:1: [run] device: \"cpuu\" is not one of its words; did you mean cpu? (words: auto, cpu, cuda)");
}

TEST(Config, UnknownSectionsAreExplained) {
  expect_starts(mistake("[run]\nsteps = 1\n[architectur]\n"),
                "file.toml:3:2: [architectur] is not a section; did you mean [architecture]?");
  expect_starts(mistake("batch = 3\n"), "file.toml:1:1: [batch] must be a section with keys under it, not the integer 3");
  expect_holds(mistake("[[run]]\nsteps = 1\n"), "[run] must be a section with keys under it, not an array");
}

TEST(Config, SyntaxErrorsHavePlaces) {
  expect_starts(mistake("[run]\nsteps = 1\n[batch\nglobal_size = 8\n"), "file.toml:3:7: ");
  expect_starts(mistake("[run]\nsteps = 1\nsteps = 2\n"), "file.toml:3:");
  expect_holds(mistake("[run]\nsteps = 1\nsteps = 2\n"), "redefine");
  expect_starts(mistake("[run]\nname = \"a\xff\"\n"), "file.toml:2:");
}

TEST(Config, LimitsComeBeforeTheParser) {
  std::string deep = "a";
  for (int i = 1; i < 100'000; ++i) deep += ".a";
  expect_starts(mistake(deep + " = 1\n"), "file.toml:1:130: nested deeper than 64 levels");
  expect_starts(mistake("\n[" + deep + "]\n"), "file.toml:2:");
  expect_starts(mistake("x = " + std::string(100'000, '[')), "file.toml:1:69: nested deeper");
  std::string quoted = "\"a\"", tables = "x = 1";
  for (int i = 1; i < 100'000; ++i) quoted += " . 'a.[\\'";
  expect_holds(mistake(quoted + " = 1\n"), "nested deeper");
  for (int i = 0; i < 40; ++i) tables = "a.b.c = { " + tables + " }";
  expect_holds(mistake(tables), "nested deeper");
  expect_holds(mistake(std::string(kMaxTomlBytes + 1, '#')), "more bytes than a config may have, 1048576");
  // What looks deep inside strings and comments, or is only wide, is none of it.
  std::string fine = "[run] # " + std::string(200, '[') + deep + "\nsteps = 1\nfault = \"\"\"\n\\\"\"\" [[[[" + deep +
                     "\"\"\"\"\n[architecture]\nspans = [\n";
  for (int i = 0; i < 1000; ++i) fine += "1, # " + std::string(100, '{') + "\n";
  EXPECT_EQ(read(fine + "]\n").architecture.read<NetOptions>().spans.size(), 1000u);
}

// Each of these once brought toml++ 3.3 down: a failed assertion, or undefined behaviour.
TEST(Config, TextThatBreaksTheParserIsRefusedWithItsLine) {
  EXPECT_EQ(mistake("[run]\nsteps = 1\n[ = ]\n[data]\n"), "file.toml:3:1: this line is not valid TOML");
  expect_starts(mistake("[run]\nsteps = 1\xe3\x80\x81\n"),
                "file.toml:2:10: only strings and comments may hold characters beyond ASCII");
  expect_starts(mistake("[run]\nfault = \"\"\"a \\\n  \xe3\x80\x81\"\"\"\n"),
                "file.toml:3:3: a character beyond ASCII may not follow");
  EXPECT_EQ(mistake("[run]\nsteps = 1'\xe3\x80\x81'\n"), "file.toml:2:10: a string may not begin here");
  EXPECT_EQ(read("\xef\xbb\xbf[run] # \xe3\x80\x81\nsteps = 1\nname = '\xe3\x80\x81'\n").run.name, "\xe3\x80\x81");
}

TEST(Config, HostileWordsAreShownHarmlessly) {
  const auto text = mistake("[run]\n\"a\\u001b[31m" + std::string(5000, 'x') + "\" = 1\n");
  expect_starts(text, "file.toml:2:1: [run] a\\x1b[31mxxx");
  EXPECT_LT(text.size(), 500u);
}

TEST(Config, PathsAreRelativeToTheFileThatNamesThem) {
  const auto e =
      read("[run]\nsteps = 1\n[data]\ntrain = ['../a.h5', { corpus = \"b.h5\", weight = 3 }, '/c.h5']\nvalidation = ['v.h5']\n");
  EXPECT_EQ(e.data.train, (Mixture{{"/a.h5", 1}, {"/configs/b.h5", 3}, {"/c.h5", 1}}));
  EXPECT_EQ(e.data.validation.paths, std::vector<std::string>{"/configs/v.h5"});
  const auto set = read("[run]\nsteps = 1\n", {"data.train=['absent.h5']"});
  EXPECT_EQ(set.data.train, (Mixture{{(fs::current_path() / "absent.h5").string(), 1}}));
  EXPECT_EQ(e.run.out, (fs::current_path() / "runs").string());
}

TEST(Config, MixturesAreExplained) {
  const auto data = [](const std::string& value) { return mistake("[run]\nsteps = 1\n[data]\ntrain = " + value + "\n"); };
  EXPECT_EQ(data("'a.h5'"), "file.toml:4:1: [data] train: must be an array of paths, [\"a.h5\"], not the string \"a.h5\"");
  expect_holds(data("[{ corpus = 'a.h5', wieght = 2 }]"),
               "4:29: [data] train: wieght is not a key of a corpus in a mixture; did you mean weight?");
  expect_holds(data("[{ corpus = 'a.h5', weight = 0 }]"), "weight must be above 0, not the integer 0");
  expect_holds(data("[{ weight = 1 }]"), "4:10: [data] train: a corpus in a mixture needs its path");
  expect_holds(data("['']"), "a path must not be empty");
  expect_holds(data("[{ task = 'needle', corpus = 'a.h5' }]"), "a part of a mixture is a corpus or a task");
  expect_holds(data("[{ corpus = 'a.h5', sizes = [4] }]"), "sizes are a task's");
  expect_holds(data("[{ task = 'needle', sizes = [0] }]"), "integers of at least 1, not the integer 0");
}

TEST(Config, AMixtureMayHoldTasks) {
  const auto e = read("[run]\nsteps = 1\n[data]\ntrain = ['/a.h5', { task = 'key_value', sizes = [4, 8], weight = 0.5 }]\n");
  ASSERT_EQ(e.data.train.size(), 2u);
  EXPECT_EQ(e.data.train[1], (WeightedPath{"", 0.5, "key_value", {4, 8}}));
  EXPECT_NE(fixed_sections_to_toml(e).find("train = [\"/a.h5\", { task = \"key_value\", sizes = [4, 8], weight = 0.5 }]"),
            std::string::npos);
}

TEST(Config, SetTakesTomlAndBareWords) {
  const auto e = read(kSmall, {"run.name=again", "run.steps=1_0", "run.out=/tmp/a b", "architecture.dropout=0.5",
                               "run.device=\"cpu\"", "batch.global_size=4", " run.steps = 30 "});
  EXPECT_EQ(e.run.name, "again");
  EXPECT_EQ(e.run.out, "/tmp/a b");
  EXPECT_EQ(e.run.steps, 30);  // the last one wins
  EXPECT_EQ(e.run.device, DeviceChoice::cpu);
  EXPECT_EQ(e.batch.global_size, 4);
  EXPECT_EQ(e.architecture.read<NetOptions>().dropout, 0.5);
  EXPECT_EQ(e.architecture.read<NetOptions>().num_layers, 2);
}

TEST(Config, TablesOfASectionAreItsKeys) {
  const auto label = [](const std::string& text, const std::vector<std::string>& sets = {}) {
    return read_experiment_text(kSmall + text, "small.toml", ".", sets).evaluate.probe;
  };
  EXPECT_EQ(label("\n[evaluate.probe]\nlabel = \"digit\"\nseeds = 3\n").label, "digit");
  const auto set = label("\n[evaluate.probe]\nlabel = \"digit\"\nseeds = 3\n", {"evaluate.probe.label=speaker"});
  EXPECT_EQ(set.label, "speaker");
  EXPECT_EQ(set.seeds, 3);
  EXPECT_EQ(label("\n[evaluate]\nprobe.label = \"digit\"\n").label, "digit");
  expect_holds(mistake(std::string(kSmall) + "\n[evaluate.probe]\nlable = \"digit\"\n"), "probe.lable is not a key; did you mean probe.label?");
  expect_holds(mistake(kSmall, {"evaluate.probe.seeds=0"}), "[evaluate] probe.seeds: must be between 1 and 100");
  const auto printed = fixed_sections_to_toml(read_experiment_text(kSmall, "small.toml", ".", {"evaluate.probe.label=digit"}));
  EXPECT_EQ(read_experiment_text(printed, "printed", ".", {}).evaluate.probe.label, "digit");
}

TEST(Config, SetNamesItself) {
  EXPECT_EQ(mistake(kSmall, {"run.steps=-1"}), "--set run.steps=-1: [run] steps: must be at least 0, not the integer -1");
  EXPECT_EQ(mistake(kSmall, {"run.steps=many"}),
            "--set run.steps=many: [run] steps: must be an integer, not the string \"many\"");
  expect_starts(mistake(kSmall, {"run.stepps=1"}), "--set run.stepps=1: [run] stepps is not a key; did you mean steps?");
  expect_starts(mistake(kSmall, {"rum.steps=1"}), "--set rum.steps=1: [rum] is not a section; did you mean [run]?");
  for (const char* set : {"steps=1", "run.steps", "run.=1", "a.b.c.d=1", "evaluate..label=x", "", "=", "run.a b=1"})
    expect_holds(mistake(kSmall, {set}), "this must read section.key=value, such as --set run.steps=100");
  expect_holds(mistake(kSmall, {"data.train=[a.h5]"}), "strings stand in quotes");
  expect_holds(mistake(kSmall, {"run.steps=1\nother = 2"}), "one value is wanted");
  expect_holds(mistake(kSmall, {"run.steps=" + std::string(1000, '[')}), "nested deeper");
}

TEST(Config, WithAddsAValue) {
  const auto section = read(kSmall).architecture.with("shape", "\"square\"").with("num_layers", "7");
  EXPECT_EQ(section.read<NetOptions>().shape, Shape::square);
  EXPECT_EQ(section.read<NetOptions>().num_layers, 7);
  EXPECT_EQ(section.read<NetOptions>().hidden_size, 64);
  EXPECT_EQ(Section().with("num_layers", "5").read<NetOptions>().num_layers, 5);
  expect_holds(usage_message([&] { section.with("tied", "3").read<NetOptions>(); }),
               "[architecture] tied=3: [architecture] tied: must be true");
}

TEST(Config, ErrorNamesThePlaceOfAKey) {
  const auto e = read(kSmall);
  EXPECT_STREQ(e.architecture.error("hidden_size", "m").what(), "file.toml:7:1: [architecture] hidden_size: m");
  EXPECT_STREQ(e.architecture.error("num_heads", "m").what(), "file.toml:5:2: [architecture] num_heads: m");
  EXPECT_STREQ(e.objective.error("kind", "m").what(), "file.toml:1:1: [objective] kind: m");
  EXPECT_STREQ(e.objective.error("", "m").what(), "file.toml:1:1: [objective] m");
}

class ConfigFiles : public Test {
 protected:
  ConfigFiles() : root_(fs::path(::testing::TempDir()) / ("config_test_" + std::to_string(getpid()))) {
    fs::create_directories(root_ / "base");
  }
  ~ConfigFiles() override { fs::remove_all(root_); }
  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ / name) << text;
    return root_ / name;
  }
  std::string file_mistake(const fs::path& file) const {
    return usage_message([&] { read_experiment(file, {}); });
  }
  fs::path root_;
};

TEST_F(ConfigFiles, IncludesComeFirstAndMergeByKey) {
  write("base/one.toml",
        "include = ['two.toml']\n[data]\ntrain = ['a.h5', 'b.h5']\nvalidation = ['v.h5']\n[architecture]\nnum_layers = 3\n");
  write("base/two.toml", "[architecture]\nnum_layers = 2\nhidden_size = 16\ndropout = 0.5\n");
  write("base/three.toml", "[architecture]\ndropout = 0.25\n");
  const auto file =
      write("main.toml", "include = [\"base/one.toml\", 'base/three.toml']\n[run]\nsteps = 1\n[data]\ntrain = ['c.h5']\n");
  const auto e = read_experiment(file, {"architecture.hidden_size=32"});
  const auto o = e.architecture.read<NetOptions>();
  EXPECT_EQ(e.file, file);
  EXPECT_EQ(o.num_layers, 3);
  EXPECT_EQ(o.hidden_size, 32);
  EXPECT_EQ(o.dropout, 0.25);
  EXPECT_EQ(e.data.train, (Mixture{{(root_ / "c.h5").string(), 1}}));  // an array replaces
  EXPECT_EQ(e.data.validation.paths, std::vector<std::string>{(root_ / "base/v.h5").string()});
}

TEST_F(ConfigFiles, MistakesInIncludedFilesNameThem) {
  write("base/one.toml", "[architecture]\nnum_layer = 3\n");
  const auto e = read_experiment(write("main.toml", "include = ['base/one.toml']\n[run]\nsteps = 1\n"), {});
  expect_starts(usage_message([&] { e.architecture.read<NetOptions>(); }),
                (root_ / "base/one.toml").string() + ":2:1: [architecture] num_layer");
  write("base/one.toml", "[architecture\n");
  expect_starts(file_mistake(root_ / "main.toml"), (root_ / "base/one.toml").string() + ":1:");
}

TEST_F(ConfigFiles, IncludesThatCannotBeReadAreNamedAtTheirPlace) {
  const std::string main = (root_ / "main.toml").string();
  EXPECT_EQ(file_mistake(write("main.toml", "include = [ 'none.toml' ]\n")),
            main + ":1:13: include \"none.toml\": there is no such config file (" + (root_ / "none.toml").string() + ")");
  expect_starts(file_mistake(write("main.toml", "include = ['base']\n")), main + ":1:12: include \"base\": this is a folder");
  expect_starts(file_mistake(write("main.toml", "include = 'base'\n")),
                main + ":1:1: include must be an array of paths, not the string");
  expect_starts(file_mistake(write("main.toml", "include = [3]\n")),
                main + ":1:12: include must be an array of paths, and this is the integer 3");
  expect_holds(file_mistake(write("main.toml", "include = ['']\n")), "must not be empty");
}

TEST_F(ConfigFiles, CyclesAndTowersAreRefused) {
  write("base/one.toml", "include = ['../main.toml']\n");
  expect_starts(file_mistake(write("main.toml", "include = ['base/one.toml']\n")),
                (root_ / "base/one.toml").string() + ":1:12: include");
  expect_holds(file_mistake(root_ / "main.toml"), "the file includes itself");
  for (int i = 0; i < 20; ++i)
    write("deep" + std::to_string(i) + ".toml", "include = ['deep" + std::to_string(i + 1) + ".toml']\n");
  expect_holds(file_mistake(root_ / "deep0.toml"), "nested deeper than 16");
  write("deep16.toml", "[run]\nsteps = 4\n");
  EXPECT_EQ(read_experiment(root_ / "deep0.toml", {}).run.steps, 4);
  for (int i = 0; i < 16; ++i) {
    const std::string next = "'deep" + std::to_string(i + 1) + ".toml'";
    write("deep" + std::to_string(i) + ".toml", "include = [" + next + ", " + next + "]\n");
  }
  expect_holds(file_mistake(root_ / "deep0.toml"), "more than 64 files");
}

TEST_F(ConfigFiles, AMissingConfigIsNamed) {
  EXPECT_EQ(file_mistake(root_ / "absent.toml"), (root_ / "absent.toml").string() + ": there is no such config file");
  expect_holds(file_mistake(root_), "this is a folder, and a config file is wanted");
  expect_holds(file_mistake("/dev/null"), "not a regular file");
}

}  // namespace
}  // namespace lacuna
