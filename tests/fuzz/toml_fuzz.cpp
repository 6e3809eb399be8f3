// Mutates configs and reads them: `toml_fuzz [N] [SEED]`. Every outcome must be an experiment, or a usage Error that begins
// with the place. Whatever is read must also print as text that reads back as itself.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <random>
#include <string>

#include "tests/support/fuzzing.h"
#include "trainer/config/experiment.h"

namespace lacuna {
namespace {

constexpr const char* kConfigs[] = {
    R"(# a run as shipped
include = []
[run]
name = "quickstart"
out = "runs"
seed = 1
steps = 300
device = "auto"
[data]
train = ["../a.h5", { corpus = "b.h5", weight = 0.7 }]
validation = ['c.h5']
[batch]
global_size = 16
[objective]
kind = "next_token"
[architecture]
kind = "decoder"
num_layers = 4
dropout = 0.0
spans = [1_000, 0x10, +3]
[optimizer]
learning_rate = 1e-3
[evaluate]
tasks = ["loss"]
)",
    "run.steps = 3\nrun.name = '''a\nb'''\n[\"batch\"]\nglobal_size = 8 # rows\n[schedule]\nkind = \"cosine\"\nfinal_ratio = "
    ".1\n",
    "[run]\ntokens = 9_000\nfault = \"\"\"x \\\n  y \\u00e9\"\"\"\n[[data]]\n[parallel]\nbucket_megabytes = inf\n[run.x]\ny = "
    "07:32:00\n"};

constexpr std::string_view kPieces[] = {"[",
                                        "]",
                                        "[[",
                                        "]]",
                                        "{",
                                        "}",
                                        "=",
                                        ".",
                                        ",",
                                        "\"",
                                        "'",
                                        "\"\"\"",
                                        "'''",
                                        "#",
                                        "\n",
                                        "\r\n",
                                        "\\",
                                        "\\u",
                                        "\\U0010FFFF",
                                        "\xff",
                                        "\xef\xbb\xbf",
                                        "nan",
                                        "-inf",
                                        "1e999",
                                        "9223372036854775808",
                                        "-1",
                                        "true",
                                        "1979-05-27T07:32:00Z",
                                        "0x",
                                        "_",
                                        "include = ['x']\n",
                                        "[run]\n",
                                        "kind = 3\n",
                                        "a.",
                                        "\xe2\x80\xa8",
                                        "\xe3\x80\x81",
                                        "\xef\xb8\x80",
                                        "\\\n",
                                        "\x7f",
                                        "steps"};

// Options with a field of every type, for the sections of kinds.
struct AnyOptions {
  int64_t num_layers = 1;
  double dropout = 0, learning_rate = 1, final_ratio = 1;
  std::vector<int64_t> spans;
};
template <class Visitor>
void describe(Visitor& visit, AnyOptions& o) {
  visit("num_layers", o.num_layers, "", at_least(1));
  visit("dropout", o.dropout, "", from_below(0, 1));
  visit("learning_rate", o.learning_rate, "", above(0));
  visit("final_ratio", o.final_ratio, "", between(0, 1));
  visit("spans", o.spans, "", at_least(0));
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : engine_(seed) {}

  std::string config() {
    std::string text = kConfigs[below(std::size(kConfigs))];
    for (size_t i = 1 + below(4); i > 0; --i) mutate(text);
    return text;
  }
  std::string set() {
    static constexpr const char* kSets[] = {"run.steps=3", "data.train=['a.h5']", "run.name=again",
                                            "optimizer.learning_rate=1e-3"};
    std::string text = kSets[below(std::size(kSets))];
    if (below(2)) mutate(text);
    return text;
  }
  size_t below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(engine_); }

 private:
  void mutate(std::string& text) {
    const size_t at = below(text.size() + 1);
    const size_t length = std::min(below(24), text.size() - at);
    const std::string piece(kPieces[below(std::size(kPieces))]);
    switch (below(7)) {
      case 0:
        text.insert(at, 1, static_cast<char>(below(256)));
        break;
      case 1:
        text.insert(at, piece);
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.replace(at, length, piece);
        break;
      case 4:
        text.insert(below(text.size() + 1), text.substr(at, 4 * length));
        break;
      case 5:
        text.resize(at);
        break;
      default: {  // a tower of one piece, now and then beyond every limit
        std::string tower;
        for (size_t i = size_t{1} << below(below(16) == 0 ? 21 : 9); i > 0 && tower.size() < (size_t{1} << 21); --i)
          tower += piece;
        text.insert(at, tower);
      }
    }
  }

  std::mt19937_64 engine_;
};

// "fuzz.toml:12:5: ..." or "--set ...".
bool has_place(const std::string& message) {
  unsigned line = 0, column = 0;
  int end = 0;
  return message.starts_with("--set ") ||
         (std::sscanf(message.c_str(), "fuzz.toml:%u:%u: %n", &line, &column, &end) == 2 && end > 0);
}

// What is wrong with this outcome, or "".
std::string fault_of(const std::string& text, const std::vector<std::string>& sets) {
  try {
    const auto experiment = read_experiment_text(text, "fuzz.toml", "/configs", sets);
    const auto printed = fixed_sections_to_toml(experiment);
    const auto again = fixed_sections_to_toml(read_experiment_text(printed, "printed.toml", "/elsewhere", {}));
    if (again != printed) return "the printed config reads back as another one:\n" + printed + "\n" + again;
    experiment.objective.kind("next_token");
    experiment.optimizer.read<AnyOptions>();
    experiment.schedule.read<AnyOptions>();
    experiment.architecture.read<AnyOptions>();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (error.code() != ExitCode::usage) return "not a usage error: " + message;
    if (!has_place(message)) return "no place: " + message;
    if (message.size() > 2000) return "an endless message: " + message;
  } catch (const std::exception& error) {
    return std::string("not our own error: ") + error.what();
  }
  return "";
}

int run(size_t count, uint64_t seed) {
  Mutator mutator(seed);
  size_t good = 0;
  for (size_t i = 0; i < count; ++i) {
    const std::string text = mutator.config();
    std::vector<std::string> sets;
    if (mutator.below(3) == 0) sets.push_back(mutator.set());
    const std::string fault = fault_of(text, sets);
    if (!fault.empty()) {
      std::cerr << "input " << i << " of seed " << seed << ": " << fault << "\nsets:";
      for (const auto& set : sets) std::cerr << " '" << set << "'";
      std::cerr << "\n" << text.substr(0, 4000) << "\n";
      return 1;
    }
    good += 1;
  }
  std::cout << good << " mutated configs: each was read or refused with its place\n";
  return 0;
}

}  // namespace
}  // namespace lacuna

int main(int argc, char** argv) {
  const lacuna::testing::FuzzArguments arguments(argc, argv, 2000);
  return lacuna::run(static_cast<size_t>(arguments.inputs), arguments.seed);
}
