// Families of small questions with several wordings each: the stand-in for a mixture of many tasks that networks are fine-tuned
// on (as T0's in Wang et al. 2022). Whole families are held out of training, so that what tuning gives to new tasks can be
// measured.
#pragma once
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/random.h"

namespace lacuna {

// One question of a family before it is worded: what templates call {0} and {1}, the answer, and wrong ones.
struct Question {
  std::vector<std::string> inputs = {};
  std::string answer = {};
  std::vector<std::string> wrong = {};  // differ from the answer and one another
};

constexpr size_t kTemplates = 5;

struct Family {
  std::string_view name;
  bool held_out;
  // {0} and {1} stand for the inputs. The first reads like text that goes on; the others ask or order.
  std::array<std::string_view, kTemplates> templates;
  // `size`: words of its inputs, about.
  Question (*draw)(int64_t size, Random& random);
};

std::span<const Family> families();
std::string worded(std::string_view pattern, const std::vector<std::string>& inputs);

}  // namespace lacuna
