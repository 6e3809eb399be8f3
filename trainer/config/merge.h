// Config files that include others, and --set, as one table. Later values win key by key: tables merge, arrays replace.
#pragma once
#include <filesystem>
#include <string>

#include "trainer/config/toml_reader.h"

namespace lacuna {

constexpr size_t kMaxIncludeDepth = 16;
constexpr size_t kMaxConfigFiles = 64;  // read for one experiment, so that files that include each other twice stay cheap

// A table. Top-level `include` arrays are read first, depth first, relative to the file that names them. Throws usage Errors:
// a missing file, a folder or a cycle is named at the place of its include.
TomlValue read_config(const std::filesystem::path& file);
// The same from text; `origin` stands for the file in messages, `folder` for its place.
TomlValue read_config_text(const std::string& text, const std::string& origin, const std::filesystem::path& folder);

// Overwrites one value of `root` by a "section.key=value" of the command line.
void apply_set(TomlValue& root, const std::string& set);

}  // namespace lacuna
