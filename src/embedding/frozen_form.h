#pragma once
// What the live and the read-only form of all methods share: lookups and single rows through a
// reader.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "batch.h"
#include "dense_rows.h"
#include "state.h"
#include "taut/core/error.h"
#include "taut/embedding/embedding.h"

namespace taut::embedding {

/// One row as a reader hands it out; values are zeros before.
struct RowCopy {
  std::uint32_t mask = 0;
  float importance = 0;
  std::span<float> values;
};

/// The mask of a prefix of chunks.
[[nodiscard]] constexpr std::uint32_t prefix_mask(int chunks) noexcept {
  return chunks >= 32 ? UINT32_MAX : (std::uint32_t{1} << chunks) - 1;
}

/// Appends the rows that a reader holds of these ids. Reader is that of pooled_lookup() with
///   bool read_row(std::uint64_t key, RowCopy& row)     false where the row is not held
template <typename Reader>
void append_rows(const Reader& reader, std::size_t table, std::span<const std::uint64_t> ids,
                 int dim, Rows& rows) {
  std::array<float, kLongestRow> values;
  for (const std::uint64_t id : ids) {
    RowCopy row{.values = std::span(values).first(static_cast<std::size_t>(dim))};
    std::fill(row.values.begin(), row.values.end(), 0.0f);
    if (!reader.read_row(reader.key(table, id), row)) continue;
    rows.tables.push_back(static_cast<std::uint32_t>(table));
    rows.ids.push_back(id);
    rows.masks.push_back(row.mask);
    rows.importances.push_back(row.importance);
    rows.values.insert(rows.values.end(), row.values.begin(), row.values.end());
  }
}

/// How many of loaded rows a reader holds.
template <typename Reader>
LoadedRows count_loaded(const Reader& reader, const Rows& rows) {
  std::array<float, kLongestRow> values;
  LoadedRows loaded;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    RowCopy row{.values = values};
    const bool held = reader.read_row(reader.key(rows.tables[i], rows.ids[i]), row);
    ++(held ? loaded.held : loaded.left_out);
  }
  return loaded;
}

/// A live collection whose ids are grouped and looked up by what Own::reader() gives. Base: a
/// RowwiseEmbedding.
template <typename Own, typename Base>
class LiveForm : public Base {
  friend Own;

 protected:
  void sort_ids(std::span<const JaggedIds> tables, std::int64_t batch,
                GradientGrouper& grouper) override {
    grouper.sort(own().reader(), tables, batch, *this->pool_);
  }
  void do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<float> out) const override {
    pooled_lookup(own().reader(), tables, batch, this->options_.dim, out, this->pool_.get());
  }

 private:
  template <typename... More>
  LiveForm(const Options& options, std::shared_ptr<ThreadPool> pool, More&&... more)
      : Base(options, std::move(pool), std::forward<More>(more)...) {}

  [[nodiscard]] const Own& own() const noexcept { return static_cast<const Own&>(*this); }
};

/// The rows of `size` values of a frozen file. Throws kFormat for a header that cannot be.
[[nodiscard]] inline DenseRowFormat frozen_format(const SectionSource& file,
                                                  const std::string& prefix, std::int64_t tables,
                                                  std::int64_t dim, std::int64_t value_type,
                                                  std::int64_t size) {
  check_frozen_shape(file, prefix, tables, dim, value_type);
  return {static_cast<ValueType>(value_type), static_cast<int>(size)};
}

/// Whole rows, as a header with tables, dim and value_type says.
template <typename Header>
[[nodiscard]] DenseRowFormat frozen_format(const SectionSource& file, const std::string& prefix,
                                           const Header& header) {
  return frozen_format(file, prefix, header.tables, header.dim, header.value_type, header.dim);
}

/// Throws kUnsupported: ids share the rows of this method.
[[noreturn]] void throw_no_rows(const std::string& method);
/// Throws kInvalidArgument for a table that is not there.
void check_table_number(std::size_t table, std::size_t tables);

/// A frozen collection whose lookups go through a reader; the constructor of a method fills in the
/// protected members.
template <typename Reader>
class FrozenForm : public FrozenEmbedding {
 public:
  [[nodiscard]] int dim() const noexcept final { return dim_; }
  [[nodiscard]] std::int64_t tables() const noexcept final { return tables_; }
  void lookup(std::span<const JaggedIds> tables, std::int64_t batch,
              std::span<float> out) const final {
    with_checked_tables(tables, static_cast<std::size_t>(tables_), batch, dim_, out.size(), "out",
                        [&](std::span<const JaggedIds> checked) {
                          pooled_lookup(reader_, checked, batch, dim_, out, nullptr);
                        });
  }
  void read_rows(std::size_t table, std::span<const std::uint64_t> ids, Rows& rows) const final {
    check_table_number(table, static_cast<std::size_t>(tables_));
    if constexpr (requires(RowCopy row) { reader_.read_row(0, row); }) {
      append_rows(reader_, table, ids, dim_, rows);
    } else {
      throw_no_rows(method_);
    }
  }

 protected:
  FrozenForm(const SectionSource& file, const std::string& prefix, Reader reader)
      : reader_(std::move(reader)), method_(file.text(prefix + "method")) {}
  /// The same, of the shape that a header says, which frozen_format() has checked.
  template <typename Header>
  FrozenForm(const SectionSource& file, const std::string& prefix, const Header& header,
             Reader reader)
      : FrozenForm(file, prefix, std::move(reader)) {
    set_shape(header.tables, static_cast<int>(header.dim));
  }
  void set_shape(std::int64_t tables, int dim) noexcept {
    tables_ = tables;
    dim_ = dim;
  }

  Reader reader_;

 private:
  std::string method_;
  std::int64_t tables_ = 0;
  int dim_ = 0;
};

}  // namespace taut::embedding
