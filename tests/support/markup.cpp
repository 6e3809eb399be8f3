#include "tests/support/markup.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace lacuna::testing {

std::string fault_of(const std::string& text) {
  std::vector<std::string> open;
  size_t roots = 0;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '&') {
      const auto end = text.find(';', at);
      const auto entity = text.substr(at, end - at + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;")
        return "entity " + entity.substr(0, 12);
      at = end + 1;
    } else if (text[at] != '<') {
      if (open.empty() && !std::isspace(static_cast<unsigned char>(text[at]))) return "text outside of the element";
      ++at;
    } else {
      const auto end = text.find('>', at);
      if (end == std::string::npos) return "a tag that does not end";
      auto tag = text.substr(at + 1, end - at - 1);
      at = end + 1;
      if (std::count(tag.begin(), tag.end(), '"') % 2 != 0 || tag.find('<') != std::string::npos) return "tag <" + tag + ">";
      if (tag[0] == '/') {
        if (open.empty() || open.back() != tag.substr(1)) return "</" + tag.substr(1) + "> closes nothing";
        open.pop_back();
      } else {
        roots += open.empty() ? 1 : 0;
        if (tag.back() != '/') open.push_back(tag.substr(0, tag.find_first_of(" \n")));
      }
    }
  }
  return !open.empty() ? "<" + open.back() + "> stays open" : roots != 1 ? "no single element" : "";
}

}  // namespace lacuna::testing
