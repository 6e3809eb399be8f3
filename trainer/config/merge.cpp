#include "trainer/config/merge.h"

#include <algorithm>
#include <cctype>
#include <fstream>

#include "trainer/config/toml_guard.h"

namespace lacuna {
namespace {

namespace fs = std::filesystem;

void merge(TomlTable& base, TomlTable&& over) {
  for (auto& [key, value] : over) {
    const auto found = base.find(key);
    auto* old_table = found == base.end() ? nullptr : std::get_if<TomlTable>(&found->second.data);
    auto* new_table = std::get_if<TomlTable>(&value.data);
    if (old_table && new_table) {
      found->second.place = value.place;
      merge(*old_table, std::move(*new_table));
    } else {
      base.insert_or_assign(key, std::move(value));
    }
  }
}

std::string read_text(const fs::path& file) {
  std::error_code ignored;
  const auto status = fs::status(file, ignored);
  if (!fs::exists(status)) throw usage_error("there is no such config file");
  if (fs::is_directory(status)) throw usage_error("this is a folder, and a config file is wanted");
  if (!fs::is_regular_file(status)) throw usage_error("this is not a regular file");
  std::ifstream in(file, std::ios::binary);
  if (!in) throw usage_error("the file cannot be opened for reading; check its permissions");
  std::string text(kMaxTomlBytes + 1, '\0');  // one more than allowed, so that the parser's limit sees an oversized file
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) throw usage_error("the file cannot be read");
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

class IncludeReader {
 public:
  // `text` is what `file` holds; `file` is empty where the text comes from elsewhere.
  TomlTable read(std::string_view text, const fs::path& file, const std::shared_ptr<const Source>& source) {
    open_.push_back(canonical(file));
    TomlTable own = parse_toml(text, source);
    TomlTable merged;
    if (const auto found = own.find("include"); found != own.end()) {
      const auto* names = found->second.as<TomlArray>();
      if (!names) throw found->second.place.error("include must be an array of paths, not " + describe_value(found->second));
      for (const auto& name : *names) merge(merged, include(name, *source));
      own.erase(found);
    }
    merge(merged, std::move(own));
    open_.pop_back();
    return merged;
  }

 private:
  static fs::path canonical(const fs::path& file) {
    std::error_code failed;
    const auto path = fs::weakly_canonical(file, failed);
    return failed ? file : path;
  }

  TomlTable include(const TomlValue& value, const Source& from) {
    const auto* name = value.as<std::string>();
    if (!name) throw value.place.error("include must be an array of paths, and this is " + describe_value(value));
    const auto fail = [&](const std::string& message) {
      return value.place.error("include \"" + printable(*name) + "\": " + message);
    };
    if (name->empty() || name->find('\0') != std::string::npos) throw fail("a path must not be empty or hold a null character");
    const fs::path path = (from.folder / *name).lexically_normal();
    if (std::find(open_.begin(), open_.end(), canonical(path)) != open_.end())
      throw fail("the file includes itself, directly or through others");
    if (open_.size() > kMaxIncludeDepth) throw fail("includes are nested deeper than " + std::to_string(kMaxIncludeDepth));
    if (++num_files_ > kMaxConfigFiles) throw fail("more than " + std::to_string(kMaxConfigFiles) + " files are included");
    std::string text;
    try {
      text = read_text(path);
    } catch (const Error& error) {
      throw fail(std::string(error.what()) + " (" + path.string() + ")");
    }
    const fs::path shown = (fs::path(from.name).parent_path() / *name).lexically_normal();
    return read(text, path, std::make_shared<const Source>(Source{shown.string(), path.parent_path()}));
  }

  std::vector<fs::path> open_;  // files whose includes are being read, canonical
  size_t num_files_ = 0;
};

TomlValue read_merged(std::string_view text, const fs::path& file, const std::shared_ptr<const Source>& source) {
  return {IncludeReader().read(text, file, source), Place{source}};
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_key(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
}

}  // namespace

TomlValue read_config(const fs::path& file) {
  std::string text;
  try {
    text = read_text(file);
  } catch (const Error& error) {
    throw usage_error(file.string() + ": " + error.what());
  }
  return read_merged(text, file, std::make_shared<const Source>(Source{file.string(), fs::absolute(file).parent_path()}));
}

TomlValue read_config_text(const std::string& text, const std::string& origin, const fs::path& folder) {
  return read_merged(text, {}, std::make_shared<const Source>(Source{origin, fs::absolute(folder)}));
}

void apply_set(TomlValue& root, const std::string& set) {
  const auto source = std::make_shared<const Source>(Source{"--set " + printable(set), fs::current_path(), false});
  const Place place{source};
  const size_t equals = std::min(set.find('='), set.size());
  std::vector<std::string_view> path;  // section, key, or section, table, key
  for (size_t at = 0; at <= equals && equals < set.size();) {
    const size_t dot = std::min(set.find('.', at), equals);
    path.push_back(trimmed(std::string_view(set).substr(at, dot - at)));
    at = dot + 1;
  }
  if (path.size() < 2 || path.size() > 3 || !std::all_of(path.begin(), path.end(), is_key))
    throw place.error("this must read section.key=value, such as --set run.steps=100");
  TomlValue value = parse_toml_value(trimmed(std::string_view(set).substr(equals + 1)), source);
  value.place = place;
  for (; path.size() > 1; path.pop_back()) {
    TomlTable keys;
    keys.emplace(path.back(), std::move(value));
    value = TomlValue{std::move(keys), place};
  }
  TomlTable sections;
  sections.emplace(path.back(), std::move(value));
  merge(std::get<TomlTable>(root.data), std::move(sections));
}

}  // namespace lacuna
