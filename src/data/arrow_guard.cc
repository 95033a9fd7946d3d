#include "arrow_guard.h"

#include <parquet/exception.h>

#include <algorithm>
#include <cctype>
#include <exception>
#include <new>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

bool mentions(const std::string& text, std::string_view word) {
  return std::search(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) {
           return std::tolower(static_cast<unsigned char>(a)) == b;
         }) != text.end();
}

[[noreturn]] void throw_out_of_memory(const std::string& reason, const std::string& where) {
  throw Error(ErrorKind::kIo, concat("out of memory (", reason, ")"), where,
              "free some; a damaged file may also ask for more than it holds");
}

[[noreturn]] void throw_broken(const std::string& reason, const ArrowPlace& place) {
  throw Error(ErrorKind::kFormat,
              concat("not a whole ", place.kind, " file (", first_line(reason), ")"), place.where,
              "write or copy it again");
}

[[noreturn]] void throw_reason(const std::string& text, bool is_unsupported,
                               const ArrowPlace& place) {
  const std::string reason = first_line(text);
  if (mentions(reason, "crypt")) {
    throw Error(ErrorKind::kUnsupported,
                concat("encrypted ", place.kind, " is not read (", reason, ")"), place.where,
                "write it without encryption, or leave encrypted columns out");
  }
  if (is_unsupported || reason.starts_with("Not yet implemented")) {
    throw Error(ErrorKind::kUnsupported,
                concat("this part of ", place.kind, " is not read (", reason, ")"), place.where,
                "leave the column out, or write it in a plain form");
  }
  throw_broken(reason, place);
}

}  // namespace

void throw_broken_parquet(const std::string& reason, const std::string& where) {
  throw_broken(reason, where);
}

void throw_arrow_status(const arrow::Status& status, const ArrowPlace& place) {
  if (status.IsOutOfMemory()) throw_out_of_memory(first_line(status.message()), place.where);
  throw_reason(status.message(), status.IsNotImplemented(), place);
}

void rethrow_from_arrow(const ArrowPlace& place) {
  try {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const parquet::ParquetStatusException& error) {
    throw_arrow_status(error.status(), place);
  } catch (const std::bad_alloc&) {
    throw_out_of_memory("for what the file holds", place.where);
  } catch (const std::exception& error) {
    throw_reason(error.what(), false, place);
  }
}

void check_status(const arrow::Status& status) {
  if (!status.ok()) throw parquet::ParquetStatusException(status);
}

}  // namespace taut::data
