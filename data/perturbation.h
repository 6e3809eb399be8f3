// Typing errors and shouting: texts that people still read, with which readers of bytes and of words fare differently (Neitemeier
// et al. 2025, section 5).
#pragma once
#include <array>
#include <string>
#include <string_view>

#include "data/random.h"

namespace lacuna {

enum class Perturbation { swap, replace, remove, capitals };
constexpr std::array<std::string_view, 4> names_of(Perturbation) { return {"swap", "replace", "delete", "capitals"}; }

// The text with each letter of its words of four letters or more changed with probability `rate`: swapped with the next letter of
// the word, replaced by another of a to z, or left out; or with all letters of such words as capitals, whatever the rate. What
// is not such a word stays as it is, bytes that are no UTF-8 too. The same text and `random` give the same; a letter that is
// changed at one rate is changed at every higher one, except for swaps that then overlap.
std::string perturbed(std::string_view text, Perturbation kind, double rate, const Random& random);

}  // namespace lacuna
