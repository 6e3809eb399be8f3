// Encodes a text with byte-level byte pairs; tokenizer_bench.py calls it and compares. Prints one JSON object.
//   tokenizer_bench VOCABULARY TEXT
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>

#include "data/tokenizer/tokenizer.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: tokenizer_bench VOCABULARY TEXT\n");
    return 2;
  }
  try {
    std::ifstream file(argv[2], std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto tokenizer = lacuna::load_tokenizer("gpt2", argv[1]);  // anew, so that it remembers no word from before
    std::vector<int32_t> tokens;
    const auto start = std::chrono::steady_clock::now();
    tokenizer->encode(text, tokens);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("{\"bytes\": %zu, \"tokens\": %zu, \"seconds\": %.6f}\n", text.size(), tokens.size(), seconds);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tokenizer_bench: %s\n", error.what());
    return 3;
  }
}
