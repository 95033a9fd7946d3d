#include "taut/core/page.h"

#include "core/page_css.h"
#include "taut/core/text.h"

namespace taut {

std::string html_page(const std::string& title, const std::string& body) {
  const std::string name = escape_html(title);
  return concat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>",
      name, "</title><style>", kPageCss, "</style></head><body><main>\n<h1>", name, "</h1>\n", body,
      "</main></body></html>\n");
}

std::string escape_html(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace taut
