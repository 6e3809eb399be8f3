// One [section] of a config: its values and where each was written.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/error.h"
#include "trainer/config/describe.h"

namespace lacuna {

struct SectionValues;  // the parsed values with their places; defined beside the TOML reader

class Section {
 public:
  Section();  // an empty section: every key has its default
  Section(std::string name, std::shared_ptr<const SectionValues> values);

  const std::string& name() const { return name_; }
  // The word under `kind`, or `fallback` where there is none.
  std::string kind(const std::string& fallback) const;

  // Defaults overwritten by what the file says. Throws a usage Error with file:line:column for an unknown key (naming the
  // nearest valid one), a wrong type, a value outside its range or an unknown word of an enumeration. `kind` is allowed in the
  // sections that have kinds: objective, architecture, optimizer and schedule. Paths become absolute.
  template <class Options>
  Options read() const {
    Options options;
    read_into(fields_of(options));
    return options;
  }
  void read_into(const std::vector<Field>& fields) const;

  // The same section with one more value, written as TOML ("true", "\"full\"", "4"), as --set does.
  Section with(const std::string& key, const std::string& toml_value) const;

  // A usage error at the place of `key`, or at the section where the key was not written:
  // "file.toml:12:1: [architecture] hidden_size: MESSAGE".
  Error error(std::string_view key, const std::string& message) const;
  // Throws such an error unless the value of `key` is a multiple of `unit`, which users know as `name`.
  void check_multiple(std::string_view key, int64_t value, int64_t unit, const std::string& name) const;

 private:
  std::string name_;
  std::shared_ptr<const SectionValues> values_;
};

// "key = value" lines with the shortest exact decimals, every field, one per line; comments hold each field's doc if asked.
std::string to_toml(const std::vector<Field>& fields, bool with_docs = false);

// The candidate that is nearest to `word` by edit distance, or "" where none is near.
std::string nearest(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace lacuna
