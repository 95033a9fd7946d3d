#include "core/toml_depth.h"

#include <cctype>

namespace taut {
namespace {

// Walks over a text by the few rules of TOML that say where a string or comment ends.
class DepthScanner {
 public:
  explicit DepthScanner(std::string_view text) noexcept : text_(text) {}

  int first_deep_line() noexcept {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
      } else if (c == '#') {
        skip_comment();
      } else {
        take(c);
        ++at_;
      }
      if (dots_ >= kDeepestToml || nested_ > kDeepestToml) return line_;
    }
    return 0;
  }

 private:
  void take(char c) noexcept {
    if (c == '\n') ++line_;
    if (c == '[' || c == '{') ++nested_;
    if ((c == ']' || c == '}') && nested_ > 0) --nested_;
    if (c == '.') {
      ++dots_;
    } else if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '-' &&
               c != ' ' && c != '\t') {
      dots_ = 0;  // the key or number has ended
    }
  }

  void skip_comment() noexcept {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  void skip_string(char quote) noexcept {
    const std::string_view three = quote == '"' ? "\"\"\"" : "'''";
    const bool triple = text_.substr(at_, 3) == three;
    at_ += triple ? 3 : 1;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\\' && quote == '"') {
        if (text_.substr(at_ + 1, 1) == "\n") ++line_;
        at_ += 2;
      } else if (c == quote && (!triple || text_.substr(at_, 3) == three)) {
        at_ += triple ? 3 : 1;
        return;
      } else if (c == '\n' && !triple) {
        return;  // an error that the parser names
      } else {
        if (c == '\n') ++line_;
        ++at_;
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  int nested_ = 0;
  int dots_ = 0;
};

}  // namespace

int deep_toml_line(std::string_view text) noexcept {
  return DepthScanner(text).first_deep_line();
}

}  // namespace taut
