#include "taut/core/page.h"

#include <array>
#include <string_view>

#include "core/page_parts.h"

namespace taut {

std::string html_page(const std::string& title, const std::string& body) {
  struct Part {
    std::string_view name;
    std::string_view text;
  };
  const std::string heading = escape_html(title);
  const std::array<Part, 4> parts = {
      {{"%TITLE%", heading}, {"%STYLE%", kPageCss}, {"%HEAD%", ""}, {"%BODY%", body}}};
  std::string page;
  std::string_view rest = kPageHtml;
  while (!rest.empty()) {  // what was put in is not looked through again
    std::size_t taken = 1;
    std::string_view text = rest.substr(0, 1);
    for (const Part& part : parts) {
      if (!rest.starts_with(part.name)) continue;
      taken = part.name.size();
      text = part.text;
    }
    page += text;
    rest.remove_prefix(taken);
  }
  return page;
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
