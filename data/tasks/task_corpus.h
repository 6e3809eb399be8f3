// A corpus made of a task's training examples, so that training can mix it in at a ratio. Examples follow one another, each with
// its end token; one that the row's end cuts off asks for nothing (its tokens are no responses). Which examples a sample holds is
// a function of the task and the sample's number alone.
#pragma once
#include "data/corpus.h"
#include "data/tasks/task.h"

namespace lacuna {

class TaskCorpus : public Corpus {
 public:
  // `window`: tokens of a sample. `origin`: what the examples depend on besides the task, such as the content hash of the corpus
  // that a haystack is of. `version`: of the generator.
  TaskCorpus(std::shared_ptr<const Task> task, int64_t version, int64_t window, const std::string& origin);

  int64_t size() const override { return int64_t{1} << 20; }
  Sample at(int64_t index) const override;
  const CorpusSpec& spec() const override { return spec_; }

 private:
  std::shared_ptr<const Task> task_;
  int64_t window_;
  CorpusSpec spec_;
};

}  // namespace lacuna
