#include "data/json_field.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "data/error.h"

namespace lacuna {
namespace {

using Json = nlohmann::json;

class FieldReader : public nlohmann::json_sax<Json> {
 public:
  explicit FieldReader(std::string_view field) : field_(field) {}

  std::string take() {
    if (!text_) throw data_error("no text in the field \"" + std::string(field_) + '"');
    return std::move(*text_);
  }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool string(string_t& value) override {
    if (!here_ || depth_ != 1) return true;
    here_ = false;
    if (text_) throw data_error("two fields \"" + std::string(field_) + '"');
    text_ = std::move(value);
    return true;
  }
  bool start_object(size_t) override { return deeper(true); }
  bool end_object() override { return shallower(); }
  bool start_array(size_t) override { return deeper(false); }
  bool end_array() override { return shallower(); }
  bool key(string_t& name) override {
    if (depth_ == 1) here_ = name == field_;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    throw data_error(std::string("not valid JSON: ") + e.what());
  }

 private:
  bool deeper(bool object) {
    if (depth_++ == 0 && !object) throw data_error("not an object in braces");
    return true;
  }
  bool shallower() {
    --depth_;
    return true;
  }

  std::string_view field_;
  size_t depth_ = 0;
  bool here_ = false;  // the value that comes next is the field's
  std::optional<std::string> text_;
};

}  // namespace

std::string json_text_field(std::string_view line, std::string_view field) {
  FieldReader reader(field);
  Json::sax_parse(line, &reader);
  return reader.take();
}

}  // namespace lacuna
