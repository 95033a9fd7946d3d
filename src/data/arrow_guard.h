#pragma once
// Every call of Arrow lies in here: what it reports by status or by exception becomes an error of
// ours.

#include <arrow/result.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace taut::data {

/// Where an error is, and in which kind of file.
struct ArrowPlace {
  // NOLINTNEXTLINE(google-explicit-constructor): most places are files of Parquet
  ArrowPlace(std::string where_, std::string_view kind_ = "Parquet")
      : where(std::move(where_)), kind(kind_) {}
  std::string where;      ///< file and column
  std::string_view kind;  ///< "Parquet", "Arrow"
};

/// Throws kFormat: the file is broken.
[[noreturn]] void throw_broken_parquet(const std::string& reason, const std::string& where);

/// Throws what the exception being handled means: an Error as it is; kIo for memory that is not
/// there; kUnsupported for encryption and for parts of the format that are not read; else kFormat,
/// the file is broken.
[[noreturn]] void rethrow_from_arrow(const ArrowPlace& place);

/// The same for a status.
[[noreturn]] void throw_arrow_status(const arrow::Status& status, const ArrowPlace& place);

template <typename T>
struct IsResult : std::false_type {};
template <typename T>
struct IsResult<arrow::Result<T>> : std::true_type {};

/// What fn returns; of an arrow::Result what it holds, of an arrow::Status nothing.
/// place: for messages. Errors: as rethrow_from_arrow.
template <typename Fn>
auto guarded(const ArrowPlace& place, Fn&& fn) {
  using Returned = std::invoke_result_t<Fn>;
  try {
    if constexpr (IsResult<Returned>::value) {
      auto result = fn();
      if (!result.ok()) throw_arrow_status(result.status(), place);
      return std::move(result).ValueUnsafe();
    } else if constexpr (std::is_same_v<Returned, arrow::Status>) {
      const arrow::Status status = fn();
      if (!status.ok()) throw_arrow_status(status, place);
    } else {
      return fn();
    }
  } catch (...) {
    rethrow_from_arrow(place);
  }
}

/// What a result holds; its status as an exception, for use inside guarded().
template <typename T>
T value_of(arrow::Result<T> result);
void check_status(const arrow::Status& status);

template <typename T>
T value_of(arrow::Result<T> result) {
  check_status(result.status());
  return std::move(result).ValueUnsafe();
}

}  // namespace taut::data
