// Questions over several documents (Liu et al. 2024, section 2, with templates instead of Wikipedia). A document is one line:
//   doc i: the <attribute> of <entity> is <value>. <filler> <filler>
// and the context ends with the line "what is the <attribute> of <entity>?". Every other document shares the entity or the
// attribute with the question, never both. Size: documents. The one that is asked for is swept over five places, slice "gold".
// Choices: ten of the documents' values, or all where there are fewer.
#pragma once
#include "data/tasks/task.h"

namespace lacuna {

class DocumentsQaTask : public Task {
 public:
  explicit DocumentsQaTask(TaskContext context) : Task("documents_qa", Disjoint::by_words, std::move(context)) {}

 protected:
  Example make(Draw draw) const override;
  std::vector<int64_t> own_sizes() const override { return {2, 5, 10, 20, 30}; }
};

}  // namespace lacuna
