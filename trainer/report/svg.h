// What charts are drawn with: SVG for a report that opens anywhere, without scripts, fonts or colours of its own. Text and rules
// take the page's colour and classes the rest, so that a page's style makes a chart light or dark. The view box is as wide as a
// phone, so letters stay readable there.
#pragma once
#include <string>

namespace lacuna {

constexpr double kChartWidth = 420;
constexpr double kLetterWidth = 6.6;  // of a letter of the labels, about

// For text and attributes of XML.
std::string xml_escape(const std::string& text);

std::string svg_number(double value);  // one decimal
// `anchor`: start, middle or end. `more`: further attributes, with a space before each.
std::string svg_text(double x, double y, const std::string& anchor, const std::string& text, const std::string& more = "");
std::string svg_rule(double x1, double y1, double x2, double y2, const std::string& name = "grid");
// The element's beginning, with the title for those who see it and those who hear it; the caller ends it with </svg>.
std::string svg_opening(const std::string& title, double width, double height);

// At most `letters` of a text in UTF-8, the last of them … where there are more.
std::string shortened(const std::string& text, size_t letters);
size_t letters_of(const std::string& text);

}  // namespace lacuna
