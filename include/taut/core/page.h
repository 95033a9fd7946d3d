#pragma once
// The frame that all HTML pages share, those of Python's reports as well: python/taut/page.html and
// page.css.

#include <string>

namespace taut {

/// A whole page that loads nothing: "taut: " and the title in its head, the style, a heading of the
/// title, then the body.
/// title is text and gets escaped; body is markup and goes in as it is.
[[nodiscard]] std::string html_page(const std::string& title, const std::string& body);

/// Text with the characters of markup escaped.
[[nodiscard]] std::string escape_html(const std::string& text);

}  // namespace taut
