// What an experiment on corpora of frames has in place of a tokenizer.
#pragma once
#include <string>
#include <vector>

#include "data/corpus.h"
#include "trainer/checkpoint/checkpoint_writer.h"

namespace lacuna {

inline constexpr std::string_view kFramesName = "frames";

// Bins and channels as a tensor of a checkpoint, and back.
TensorSlice frames_slice(const FrameSpec& frames);
FrameSpec frames_of(const at::Tensor& stored);
// Throws a data error where a corpus is of another kind or its frames have another size than `origin`'s.
void check_frames(const std::vector<std::string>& corpora, const FrameSpec& frames, const std::string& origin);

}  // namespace lacuna
