#include "launch/prepare.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/prepare.h"
#include "data/tokenizer/catalog.h"
#include "launch/prepare_frames.h"

namespace lacuna {
namespace {

using Json = nlohmann::ordered_json;

struct PrepareArguments {
  PrepareOptions options;
  std::string documents, field;
  int64_t vocabulary_size = 8000;
  bool json = false;
};

double per(int64_t value, double other) { return other > 0 ? static_cast<double>(value) / other : 0; }

Json to_json(const PreparedCorpus& corpus) {
  return {{"file", corpus.path.string()},
          {"documents", corpus.documents},
          {"tokens", corpus.tokens},
          {"bytes", corpus.bytes},
          {"content_hash", corpus.content_hash}};
}

void print_json(const PrepareReport& report) {
  Json json = to_json(report.train);
  if (report.validation) json["validation"] = to_json(*report.validation);
  json["tokenizer"] = report.tokenizer;
  json["vocabulary_size"] = report.vocabulary_size;
  json["seconds"] = report.seconds;
  std::printf("%s\n", json.dump(2).c_str());
}

void print_corpus(const PreparedCorpus& corpus) {
  std::printf("%-16s %s\n", "file", corpus.path.c_str());
  std::printf("%-16s %lld\n", "documents", static_cast<long long>(corpus.documents));
  std::printf("%-16s %lld\n", "tokens", static_cast<long long>(corpus.tokens));
  std::printf("%-16s %lld\n", "bytes", static_cast<long long>(corpus.bytes));
  std::printf("%-16s %.4f\n", "bytes/token", per(corpus.bytes, static_cast<double>(corpus.tokens)));
  std::printf("%-16s %s\n\n", "hash", corpus.content_hash.c_str());
}

void print_table(const PrepareReport& report) {
  print_corpus(report.train);
  if (report.validation) print_corpus(*report.validation);
  const int64_t tokens = report.train.tokens + (report.validation ? report.validation->tokens : 0);
  std::printf("%-16s %s, %lld ids\n", "tokenizer", report.tokenizer.c_str(), static_cast<long long>(report.vocabulary_size));
  std::printf("%-16s %.1f\n", "seconds", report.seconds);
  std::printf("%-16s %.0f\n", "tokens/s", per(tokens, report.seconds));
}

int prepare(PrepareArguments arguments, bool size_given, bool field_given) {
  PrepareOptions& options = arguments.options;
  if (arguments.documents == "file") options.text.documents = DocumentUnit::file;
  if (arguments.documents == "line") options.text.documents = DocumentUnit::line;
  if (arguments.documents == "block") options.text.documents = DocumentUnit::block;
  if (field_given) options.text.field = arguments.field;
  if (size_given) options.vocabulary_size = arguments.vocabulary_size;
  const PrepareReport report = prepare_text(options, true);
  arguments.json ? print_json(report) : print_table(report);
  return 0;
}

}  // namespace

void add_prepare(CLI::App& program, Command& chosen) {
  auto* command = program.add_subcommand("prepare", "Turn text, recordings or pictures into a corpus");
  auto arguments = std::make_shared<PrepareArguments>();
  PrepareOptions& options = arguments->options;
  std::string tokenizers;
  std::vector<std::string> names;
  for (const TokenizerEntry& entry : tokenizer_catalog()) {
    names.emplace_back(entry.name);
    tokenizers += "\n  " + names.back() + ": " + std::string(entry.summary);
  }
  auto* text =
      command->add_option("--text", options.text.files, "files to read: plain text, gzip, or JSON lines (.jsonl, .jsonl.gz)");
  auto* prompts =
      command
          ->add_option(
              "--prompts", options.prompts,
              "files of JSON lines {\"prompt\", \"response\"}, plain or gzip: the corpus tells which tokens are responses")
          ->excludes(text);
  const FramesCommand frames(*command);
  std::vector<CLI::Option*> of_text = {text, prompts};
  command->add_option("--out", options.out, "the corpus to write")->required();
  of_text.push_back(command->add_option("--tokenizer", options.tokenizer, "how text becomes tokens; bytes unless given")
                        ->check(CLI::IsMember(names)));
  command->add_option(
      "--vocabulary", options.vocabulary,
      "gpt2: a folder with vocab.json and merges.txt, or a tokenizer.json; sentencepiece: a .model, else one is trained");
  auto* size = command->add_option("--vocabulary-size", arguments->vocabulary_size,
                                   "pieces of a sentencepiece model that is trained; 8000");
  command
      ->add_option("--documents", arguments->documents,
                   "what a document is: file (plain text's default), line (JSON lines') or block")
      ->check(CLI::IsMember({"file", "line", "block"}));
  auto* field = command->add_option(
      "--field", arguments->field, "a JSON line's field that holds the text; text. When given, every file is read as JSON lines");
  auto* fraction = command->add_option("--validation-fraction", options.validation_fraction,
                                       "the share of documents that goes to --validation-out; of a single document, its end");
  command->add_option("--validation-out", options.validation_out, "the second corpus");
  command->add_flag("--force", options.force, "replace corpora that exist");
  command->add_flag("--json", arguments->json, "print the figures as JSON");
  of_text.insert(of_text.end(), {size, field, fraction});
  for (auto* option : of_text) {
    for (auto* source : frames.sources()) option->excludes(source);
  }
  command->footer(
      "Tokenizers:" + tokenizers +
      "\nExample: lacuna prepare --text book.txt --tokenizer bytes --out train.h5 --validation-fraction 0.01 "
      "--validation-out validation.h5\n"
      "         lacuna prepare --audio digits/*.wav --mel-bins 64 --labels '{digit}_{speaker}_{index}' --out digits.h5");
  command->callback([=, &chosen] {
    chosen = [=] {
      if (frames.chosen()) return frames.run(arguments->options.out.string(), arguments->options.force, arguments->json);
      return prepare(*arguments, size->count() > 0, field->count() > 0);
    };
  });
}

}  // namespace lacuna
