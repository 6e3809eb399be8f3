#include "data/tasks/families.h"

#include <algorithm>

#include "data/tasks/words.h"

namespace lacuna {
namespace {

using Words = std::vector<std::string>;
constexpr std::string_view kLetters = "abcdefgh", kOpening = "([{<", kClosing = ")]}>";
constexpr int64_t kWrong = 3;

Words letters(int64_t count, Random& random) {
  Words words;
  for (int64_t i = 0; i < count; ++i) words.push_back(std::string(1, any_of(kLetters, random)));
  return words;
}
Words different_letters(int64_t count, Random& random) {
  return different_words(count, [&] { return std::string(1, any_of(kLetters, random)); });
}
Words different_numbers(int64_t count, int64_t bound, Random& random) {
  return different_words(count, [&] { return std::to_string(random.below(bound)); });
}
std::string made_up(Random& random) { return made_up_word(2, random.below(2) == 0 ? Split::train : Split::test, random); }
Words made_up(int64_t count, Random& random) {
  return different_words(count, [&] { return made_up(random); });
}

// Up to three that `draw` gives and that are neither the answer nor one another; fewer where there are no more.
template <class Draw>
Words wrong_ones(const std::string& answer, const Draw& draw) {
  Words wrong;
  for (int attempt = 0; attempt < 100 && static_cast<int64_t>(wrong.size()) < kWrong; ++attempt) {
    auto candidate = draw();
    if (candidate != answer && std::find(wrong.begin(), wrong.end(), candidate) == wrong.end())
      wrong.push_back(std::move(candidate));
  }
  return wrong;
}
// Of a list of words: the list in other orders, or with a word exchanged where all orders are the same.
Words other_lists(const Words& words, Random& random) {
  return wrong_ones(join(words, " "), [&] {
    auto other = words;
    const auto place = static_cast<size_t>(random.below(static_cast<int64_t>(other.size())));
    if (random.below(2) == 0) other[place] = letters(1, random)[0];
    shuffle(other, random);
    return join(other, " ");
  });
}
Words other_numbers(int64_t answer, int64_t bound, Random& random) {
  return wrong_ones(std::to_string(answer), [&] { return std::to_string(random.below(bound)); });
}
Words without(Words words, const std::string& answer, size_t most = kWrong) {
  std::erase(words, answer);
  if (words.size() > most) words.resize(most);
  return words;
}

Question copy(int64_t size, Random& random) {
  const auto words = letters(size, random);
  return {{join(words, " ")}, join(words, " "), other_lists(words, random)};
}
Question reverse(int64_t size, Random& random) {
  auto words = letters(size, random);
  const auto text = join(words, " ");
  std::reverse(words.begin(), words.end());
  return {{text}, join(words, " "), other_lists(words, random)};
}
Question sort(int64_t size, Random& random) {
  auto words = different_numbers(std::min<int64_t>(size, 9), 10, random);
  const auto text = join(words, " ");
  std::sort(words.begin(), words.end());
  const auto answer = join(words, " ");
  return {{text}, answer, wrong_ones(answer, [&] { return shuffle(words, random), join(words, " "); })};
}
Question count(int64_t size, Random& random) {
  const auto words = letters(size, random);
  const auto& letter = any_of(words, random);
  const int64_t times = std::count(words.begin(), words.end(), letter);
  return {{letter, join(words, " ")}, std::to_string(times), other_numbers(times, std::max<int64_t>(size, 4) + 1, random)};
}
Question extreme(int64_t size, Random& random) {
  const auto words = different_numbers(std::max<int64_t>(size, 4), 100, random);
  const auto less = [](const std::string& a, const std::string& b) { return std::stoi(a) < std::stoi(b); };
  const bool largest = random.below(2) == 0;
  const auto answer =
      largest ? *std::max_element(words.begin(), words.end(), less) : *std::min_element(words.begin(), words.end(), less);
  return {{largest ? "largest" : "smallest", join(words, " ")}, answer, without(words, answer)};
}
Question majority(int64_t size, Random& random) {
  const auto kinds = different_letters(4, random);
  Words words(static_cast<size_t>(size / 2 + 1), kinds[0]);
  while (static_cast<int64_t>(words.size()) < size) words.push_back(kinds[static_cast<size_t>(1 + random.below(3))]);
  shuffle(words, random);
  return {{join(words, " ")}, kinds[0], without(kinds, kinds[0])};
}
Question lookup(int64_t size, Random& random) {
  const int64_t n = std::clamp<int64_t>(size, 4, 8);
  const auto keys = different_letters(n, random);
  const auto values = different_numbers(n, 100, random);
  const auto gold = static_cast<size_t>(random.below(n));
  Words pairs;
  for (size_t i = 0; i < keys.size(); ++i) pairs.push_back(keys[i] + " is " + values[i]);
  return {{join(pairs, ", "), keys[gold]}, values[gold], without(values, values[gold])};
}
Question fact(int64_t /*size*/, Random& random) {
  const auto names = made_up(4, random), values = made_up(4, random);
  const auto gold = static_cast<size_t>(random.below(4));
  Words facts;
  for (size_t i = 0; i < names.size(); ++i) facts.push_back("the owner of " + names[i] + " is " + values[i]);
  return {{join(facts, ". "), names[gold]}, values[gold], without(values, values[gold])};
}
Question parity(int64_t size, Random& random) {
  Words bits;
  int64_t ones = 0;
  for (int64_t i = 0; i < size; ++i) bits.push_back(random.below(2) == 0 ? "0" : "1"), ones += bits.back() == "1";
  const bool even = ones % 2 == 0;
  return {{join(bits, " ")}, even ? "even" : "odd", {even ? "odd" : "even"}};
}
Question modular_sum(int64_t /*size*/, Random& random) {
  const int64_t a = random.below(10), b = random.below(10), modulus = 4 + random.below(6);
  return {{std::to_string(a) + " and " + std::to_string(b), std::to_string(modulus)},
          std::to_string((a + b) % modulus),
          other_numbers((a + b) % modulus, modulus, random)};
}
Question bracket(int64_t size, Random& random) {
  std::vector<size_t> open;
  Words text;
  for (int64_t i = 0; i < size; ++i) {
    const bool opens = open.empty() || (i + 1 == size && open.size() == 1) || random.below(2) == 0;
    if (opens) open.push_back(static_cast<size_t>(random.below(4)));
    text.push_back(std::string(1, opens ? kOpening[open.back()] : kClosing[open.back()]));
    if (!opens) open.pop_back();
  }
  Words closing;
  for (const char c : kClosing) closing.push_back(std::string(1, c));
  return {{join(text, " ")}, closing[open.back()], without(closing, closing[open.back()])};
}
Question edit(int64_t size, Random& random) {
  auto words = letters(size, random);
  const auto pair = different_letters(2, random);
  words[static_cast<size_t>(random.below(size))] = pair[0];
  const auto text = join(words, " ");
  std::replace(words.begin(), words.end(), pair[0], pair[1]);
  return {{pair[0] + " by " + pair[1], text}, join(words, " "), other_lists(words, random)};
}
// A taxonomy that is given and then asked about by example.
Question analogy(int64_t /*size*/, Random& random) {
  const auto classes = made_up(4, random), members = made_up(4, random);
  Words facts;
  for (size_t i = 0; i < classes.size(); ++i) facts.push_back(members[i] + " is a kind of " + classes[i]);
  return {{join(facts, ". "), members[0] + " is to " + classes[0] + " as " + members[1] + " is to"},
          classes[1],
          without(classes, classes[1])};
}
Question entailment(int64_t /*size*/, Random& random) {
  const auto names = made_up(3, random);
  const Words answers = {"yes", "no", "maybe"};
  const auto which = static_cast<size_t>(random.below(3));
  const std::string premise[] = {"every " + names[0] + " is red. " + names[1] + " is a " + names[0],
                                 "no " + names[0] + " is red. " + names[1] + " is a " + names[0],
                                 "every " + names[0] + " is red. " + names[1] + " is a " + names[2]};
  return {{premise[which], names[1] + " is red"}, answers[which], without(answers, answers[which])};
}

constexpr std::array kFamilies{
    Family{"copy",
           false,
           {"{0} and once more:", "copy: {0}\nanswer:", "repeat the words {0}.\nrepeated:", "what does this say? {0}\nit says:",
            "text: {0}\nsame text:"},
           copy},
    Family{"reverse",
           true,
           {"{0} and backwards:", "reverse: {0}\nanswer:", "say {0} from the end.\nsaid:", "what is {0} read backwards?\nit is:",
            "text: {0}\nreversed text:"},
           reverse},
    Family{"sort",
           false,
           {"{0} and in order:", "sort: {0}\nanswer:", "put {0} in ascending order.\nordered:",
            "what is {0} from small to large?\nit is:", "numbers: {0}\nsorted numbers:"},
           sort},
    Family{"count",
           false,
           {"in {1} the number of {0} is", "count {0} in: {1}\nanswer:", "text: {1}\nhow often does it have {0}?\ntimes:",
            "how many {0} are there in {1}?\nnumber:", "letters: {1}\nletter: {0}\ncount:"},
           count},
    Family{"extreme",
           false,
           {"of {1} the {0} is", "give the {0} of: {1}\nanswer:", "numbers: {1}\nwhich is the {0}?\nit is:",
            "which of {1} is {0}?\nnumber:", "list: {1}\nwanted: {0}\nfound:"},
           extreme},
    Family{"majority",
           true,
           {"in {0} the most frequent is", "which is most frequent: {0}\nanswer:", "votes: {0}\nwho won?\nwinner:",
            "what does {0} have most of?\nit is:", "letters: {0}\nmajority:"},
           majority},
    Family{"lookup",
           false,
           {"{0}, and so {1} is", "table: {0}\nlook up {1}.\nanswer:", "given that {0}, what is {1}?\nit is:",
            "{0}.\nquestion: what is {1}?\nvalue:", "what is {1} if {0}?\nresult:"},
           lookup},
    Family{"fact",
           false,
           {"{0}. so the owner of {1} is", "{0}.\nquestion: who owns {1}?\nanswer:", "read: {0}.\nname the owner of {1}.\nname:",
            "who owns {1}, if {0}?\nit is:", "facts: {0}.\nentity: {1}\nowner:"},
           fact},
    Family{
        "parity",
        false,
        {"in {0} the number of ones is", "even or odd number of ones: {0}\nanswer:", "bits: {0}\nis the sum even or odd?\nit is:",
         "are there an even or odd number of ones in {0}?\nnumber:", "bits: {0}\nparity:"},
        parity},
    Family{"modular_sum",
           false,
           {"the sum of {0} modulo {1} is", "add {0} modulo {1}.\nanswer:", "numbers: {0}\nmodulus: {1}\nsum:",
            "what is left of {0} together, divided by {1}?\nleft:", "take {0}, add, keep the rest by {1}.\nrest:"},
           modular_sum},
    Family{"bracket",
           false,
           {"{0} and then closes", "close the innermost: {0}\nanswer:", "brackets: {0}\nwhich one comes next to close?\nit is:",
            "what closes {0} first?\nbracket:", "open: {0}\nclosing:"},
           bracket},
    Family{"edit",
           false,
           {"{1} with {0} becomes", "replace {0} in: {1}\nanswer:", "text: {1}\nreplace {0}.\nnew text:",
            "what is {1} after replacing {0}?\nit is:", "change: {0}\nin: {1}\nout:"},
           edit},
    Family{"analogy",
           true,
           {"{0}. {1}", "{0}.\ncomplete: {1}\nanswer:", "know that {0}.\nanalogy: {1}\nwhat:",
            "if {0}, then what completes {1}?\nit is:", "facts: {0}.\npattern: {1}\nend:"},
           analogy},
    Family{
        "entailment",
        true,
        {"{0}. is it true that {1}?", "{0}.\nquestion: does it follow that {1}?\nanswer:", "premise: {0}.\nclaim: {1}.\nverdict:",
         "given that {0}, is it so that {1}?\nit is:", "facts: {0}.\nstatement: {1}.\ntrue:"},
        entailment},
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

std::string worded(std::string_view pattern, const std::vector<std::string>& inputs) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '{' && i + 2 < pattern.size() && pattern[i + 2] == '}') {
      out += inputs[static_cast<size_t>(pattern[i + 1] - '0')];
      i += 2;
    } else {
      out += pattern[i];
    }
  }
  return out;
}

}  // namespace lacuna
