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

[[noreturn]] void throw_reason(const std::string& text, bool is_unsupported,
                               const std::string& where) {
  const std::string reason = first_line(text);
  if (mentions(reason, "crypt")) {
    throw Error(ErrorKind::kUnsupported, concat("encrypted Parquet is not read (", reason, ")"),
                where, "write it without encryption, or leave encrypted columns out");
  }
  if (is_unsupported || reason.starts_with("Not yet implemented")) {
    throw Error(ErrorKind::kUnsupported, concat("this part of Parquet is not read (", reason, ")"),
                where, "leave the column out, or write it in a plain form");
  }
  throw_broken_parquet(reason, where);
}

}  // namespace

void throw_broken_parquet(const std::string& reason, const std::string& where) {
  throw Error(ErrorKind::kFormat, concat("not a whole Parquet file (", first_line(reason), ")"),
              where, "write or copy it again");
}

void throw_arrow_status(const arrow::Status& status, const std::string& where) {
  if (status.IsOutOfMemory()) throw_out_of_memory(first_line(status.message()), where);
  throw_reason(status.message(), status.IsNotImplemented(), where);
}

void rethrow_from_arrow(const std::string& where) {
  try {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const parquet::ParquetStatusException& error) {
    throw_arrow_status(error.status(), where);
  } catch (const std::bad_alloc&) {
    throw_out_of_memory("for what the file holds", where);
  } catch (const std::exception& error) {
    throw_reason(error.what(), false, where);
  }
}

void check_status(const arrow::Status& status) {
  if (!status.ok()) throw parquet::ParquetStatusException(status);
}

}  // namespace taut::data
