// Networks whose blocks can all attend to the embeddings of a row, in place of its states in the block before: to a context that
// no block changes. A public reimplementation of MP3 (vit-pytorch's mp3.py) is of this kind; the paper's network is not.
#pragma once
#include "trainer/model/architecture.h"

namespace lacuna {

class FrozenContext {
 public:
  virtual ~FrozenContext() = default;
  // As forward(), but every block's keys and values are of the embeddings, which each normalises as its own input.
  virtual Hidden forward_on_embeddings(const Batch& batch) = 0;
};

}  // namespace lacuna
