#include "trainer/report/svg.h"

#include <algorithm>
#include <cstdio>

namespace lacuna {
namespace {

bool begins_letter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

}  // namespace

std::string xml_escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t') out += c;  // XML has no other control letters
    }
  }
  return out;
}

std::string svg_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string svg_text(double x, double y, const std::string& anchor, const std::string& text, const std::string& more) {
  return "<text x=\"" + svg_number(x) + "\" y=\"" + svg_number(y) + "\" text-anchor=\"" + anchor + "\"" + more + ">" +
         xml_escape(text) + "</text>\n";
}

std::string svg_rule(double x1, double y1, double x2, double y2, const std::string& name) {
  return "<line class=\"" + name + "\" x1=\"" + svg_number(x1) + "\" y1=\"" + svg_number(y1) + "\" x2=\"" + svg_number(x2) +
         "\" y2=\"" + svg_number(y2) + "\"/>\n";
}

std::string svg_opening(const std::string& title, double width, double height) {
  return "<svg viewBox=\"0 0 " + svg_number(width) + " " + svg_number(height) +
         "\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\">\n<title>" + xml_escape(title) + "</title>\n" +
         svg_text(4, 15, "start", title, " class=\"title\"");
}

size_t letters_of(const std::string& text) { return static_cast<size_t>(std::count_if(text.begin(), text.end(), begins_letter)); }

std::string shortened(const std::string& text, size_t letters) {
  if (letters_of(text) <= letters) return text;
  size_t end = 0;
  for (size_t kept = 0; end < text.size(); ++end) {
    if (begins_letter(text[end]) && ++kept == letters) break;
  }
  return text.substr(0, end) + "…";
}

}  // namespace lacuna
