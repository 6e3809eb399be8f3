#include "trainer/evaluate/labelled_frames.h"

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <map>

#include "data/error.h"
#include "data/open_corpus.h"
#include "data/random.h"
#include "data/sampler.h"

namespace lacuna {
namespace {

// Where a label of that name is in a corpus.
size_t find_label(const CorpusSpec& spec, const std::string& name, const char* key) {
  const auto& labels = spec.frames.labels;
  if (name.empty() && labels.size() == 1) return 0;
  std::string known;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i].name == name) return i;
    known += (i > 0 ? ", " : "") + labels[i].name;
  }
  const std::string has = labels.empty() ? "no labels; make it with lacuna prepare --labels" : "the labels " + known;
  throw usage_error("evaluate.probe." + std::string(key) + (name.empty() ? " is not set" : " = \"" + name + "\"") + ", and " +
                    spec.name + " has " + has);
}

// Adds a corpus's documents; `classes` grows by what it has not met yet.
void read_documents(const Corpus& corpus, const ProbeOptions& options, std::vector<std::string>& classes,
                    std::vector<LabelledDocument>& out) {
  const auto& spec = corpus.spec();
  const size_t label = find_label(spec, options.label, "label");
  const bool grouped = !options.group.empty();
  const size_t group = grouped ? find_label(spec, options.group, "group") : 0;
  const auto number = [&](int32_t own) {
    const auto& name = spec.frames.labels[label].classes[static_cast<size_t>(own)];
    const auto place = std::find(classes.begin(), classes.end(), name) - classes.begin();
    if (place == static_cast<int64_t>(classes.size())) classes.push_back(name);
    return place;
  };
  for (size_t i = 0; i < spec.frames.labels[label].classes.size(); ++i) number(static_cast<int32_t>(i));  // in the corpus's order
  bool kept = false;
  for (int64_t i = 0; i < corpus.size(); ++i) {
    auto sample = corpus.at(i);
    if (!sample.document_starts.empty()) {
      kept = sample.labels[label] >= 0 && (!grouped || sample.labels[group] >= 0);
      if (kept) {
        out.emplace_back();
        out.back().label = number(sample.labels[label]);
        if (grouped) out.back().group = spec.frames.labels[group].classes[static_cast<size_t>(sample.labels[group])];
      }
    }
    if (kept) out.back().samples.push_back(std::move(sample));
  }
}

}  // namespace

LabelledFrames read_labelled(const EvaluationContext& c) {
  LabelledFrames read;
  const auto& options = c.options.probe;
  std::vector<LabelledDocument> documents;
  for (const auto& path : options.fit.paths) {
    const auto corpus = open_corpus(path, c.objective.sample_length(), c.objective.sample_stride());
    const auto &own = corpus->spec().frames, &judged = c.corpora.front()->spec().frames;
    if (own.bins != judged.bins || own.channels != judged.channels) {
      throw data_error(path + " has frames of " + std::to_string(own.bins) + " bins and " + std::to_string(own.channels) +
                       " channels, and " + c.corpora.front()->spec().name + " of " + std::to_string(judged.bins) + " and " +
                       std::to_string(judged.channels) + "; prepare both alike");
    }
    read_documents(*corpus, options, read.classes, read.fit);
  }
  for (const auto& corpus : c.corpora) read_documents(*corpus, options, read.classes, documents);
  std::map<int64_t, int64_t> seen;
  for (auto& document : documents) {
    const bool to_fit = options.fit.paths.empty() && seen[document.label]++ % 2 == 0;
    (to_fit ? read.fit : read.test).push_back(std::move(document));
  }
  if (read.fit.empty() || read.test.empty()) {
    throw data_error(c.corpora.front()->spec().name +
                     " and the corpora of evaluate.probe.fit have too few documents with the label to "
                     "fit to some and judge on others");
  }
  const auto& labels = c.corpora.front()->spec().frames.labels;
  read.label = labels[find_label(c.corpora.front()->spec(), options.label, "label")].name;
  int64_t position = 0;
  for (auto* part : {&read.fit, &read.test}) {
    for (auto& document : *part) {
      for (auto& sample : document.samples) sample.position = position++;
    }
  }
  return read;
}

Documents pointers(const std::vector<LabelledDocument>& documents) {
  Documents list;
  for (const auto& document : documents) list.push_back(&document);
  return list;
}

Documents draw_per_class(const Documents& documents, int64_t per_class, uint64_t seed) {
  std::map<int64_t, Documents> by_class;
  for (const auto* document : documents) by_class[document->label].push_back(document);
  Documents drawn;
  for (const auto& [label, members] : by_class) {
    const auto order = Random(seed, 0).fork("labelled documents").fork(static_cast<uint64_t>(label));
    const auto size = static_cast<int64_t>(members.size());
    for (int64_t i = 0; i < std::min(size, per_class); ++i)
      drawn.push_back(members[static_cast<size_t>(permuted(i, size, order))]);
  }
  return drawn;
}

at::Tensor labels_of(const Documents& documents) {
  std::vector<int64_t> labels;
  for (const auto* document : documents) labels.push_back(document->label);
  return at::tensor(labels, at::kLong);
}

}  // namespace lacuna
