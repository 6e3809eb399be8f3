// Tasks that are generated: questions with known answers, which tell networks apart and can be mixed into training.
//
// An example is a pure function of (seed, task, split, number). Examples of training are drawn at even indices, those of tests at
// odd ones, and no example is in both: either its keys are words of one split alone (words.h), or the whole example is.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/random.h"
#include "data/tasks/words.h"
#include "data/tokenizer/tokenizer.h"

namespace lacuna {

// A question that is asked in tokens rather than in words: what is read, and what slots are to predict.
struct TokenRow {
  std::vector<int32_t> tokens = {};   // (T)
  std::vector<int32_t> targets = {};  // (T), what slot t should predict
  std::vector<uint8_t> asked = {};    // (T), whether it is asked to
  int64_t context = 1;  // leading tokens that are given before anything is asked: slots from context - 1 on may be asked
};

struct Example {
  std::string context = {};                                      // text, up to where the answer begins
  std::string answer = {};                                       // with the space before it
  std::vector<std::string> choices = {};                         // the answer is one of them
  int64_t correct = 0;                                           // its place among them
  TokenRow row = {};                                             // of tasks that are asked in tokens, whose texts are empty
  std::vector<std::pair<std::string, std::string>> slices = {};  // what tables are cut by, such as {"depth", "50"}
};

// Text for questions to be hidden in: about that many tokens, the same for the same number.
using Haystack = std::function<std::string(uint64_t number, int64_t num_tokens)>;

struct TaskContext {
  std::shared_ptr<const Tokenizer> tokenizer;
  int64_t length = 0;  // tokens that an example may take, its answer included
  uint64_t seed = 1;
  std::vector<int64_t> sizes = {};  // of examples; empty = the task's own, as far as `length` holds them
  Haystack haystack = {};           // of tasks that need one
};

class Task {
 public:
  // How examples of the two splits are kept apart: by the words that they are made of, or each as a whole.
  enum class Disjoint { by_words, by_example };

  Task(std::string_view name, Disjoint disjoint, TaskContext context);
  virtual ~Task() = default;

  // Decides which sizes there are; called once by make_task. Throws a usage error where not even the smallest fits into `length`.
  void choose_sizes();
  // Thread-safe.
  Example at(Split split, uint64_t number) const;

  const std::string& name() const { return name_; }
  const TaskContext& context() const { return context_; }
  const std::vector<int64_t>& sizes() const { return sizes_; }
  const std::vector<int64_t>& sizes_left_out() const { return left_out_; }  // of the task's own: `length` does not hold them

 protected:
  struct Draw {
    Split split;
    int64_t size;
    uint64_t turn;  // counts the examples of a size: what is swept goes by it
    Random random;
  };
  virtual Example make(Draw draw) const = 0;
  virtual std::vector<int64_t> own_sizes() const = 0;
  // After how many turns examples of a size are of the same kinds again: so many are tried before a size is taken.
  virtual uint64_t num_turns() const { return 12; }

  int64_t count_tokens(const std::string& text) const;
  const TaskContext context_;

 private:
  Example draw(Split split, uint64_t number, int64_t size, uint64_t turn) const;
  bool fits(const Example& example) const;

  std::string name_;
  Disjoint disjoint_;
  std::vector<int64_t> sizes_, left_out_;
};

// The tokens of an example as a stretch of text: what is read, the answer in place; and which of them are answers.
struct ExampleTokens {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> responses;
};
ExampleTokens tokens_of(const Example& example, const Tokenizer& tokenizer);

// Puts the choices in a random order; the answer stays `correct`.
void shuffle_choices(Example& example, Random& random);
// And keeps ten at most.
void few_choices(Example& example, Random& random);

}  // namespace lacuna
