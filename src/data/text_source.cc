// CSV, TSV and Criteo's TSV: pieces of a chunk are parsed side by side and given out in order.

#include <memory>
#include <utility>

#include "source.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "text_columns.h"
#include "text_file.h"

namespace taut::data {
namespace {

// A column of the schema and the field that holds it.
struct Field {
  ColumnRole role;
  std::int64_t field;
  char list_separator;
};

// One piece of text on its way to a block.
struct Piece {
  std::string_view text;
  TextIndex index;
  Rows rows;
  std::vector<BadCells> bad;  // [0]: rows of the wrong shape; then one per column
};

class TextSource : public RowSource {
 public:
  explicit TextSource(const SourceOptions& options)
      : options_(options),
        roles_(column_roles(options.reader.schema)),
        names_(column_names(roles_)),
        order_(unit_order(options.reader, options.files.size())),
        rules_(options.reader),
        policy_(options),
        pool_(decode_pool(options.reader)) {
    names_.insert(names_.begin(), std::string());
    for (const InputFile& file : options.files) (void)fields_of(TextFile(file));
  }

  bool read(Rows& rows) override {
    while (next_piece_ == used_pieces_) {
      if (!parse_chunk()) return false;
    }
    Piece& piece = *pieces_[next_piece_++];
    const std::int64_t read_rows = piece.rows.size;
    policy_.apply(file_->path(), row_, piece.bad, names_, piece.rows);
    row_ += read_rows;
    std::swap(rows, piece.rows);
    return true;
  }

  [[nodiscard]] std::int64_t known_rows() const noexcept override { return 0; }
  [[nodiscard]] std::size_t blocks_ahead() const noexcept override { return kPiecesAhead; }

 private:
  static constexpr std::size_t kPiecesAhead = 16;

  [[nodiscard]] std::vector<Field> fields_of(const TextFile& file) const {
    std::vector<Field> fields;
    for (const ColumnRole& role : roles_) {
      const std::size_t column = find_column(role.name, file.columns(), file.path());
      const bool spaced = file.declared()[column] == DeclaredType::kTokenList ||
                          file.declared()[column] == DeclaredType::kFloatList;
      fields.push_back({role, static_cast<std::int64_t>(column),
                        options_.reader.list_separator.value_or(spaced ? ' ' : '|')});
    }
    return fields;
  }

  // Parses the next pieces of the open file, or opens the next file; false at the end of all.
  bool parse_chunk() {
    next_piece_ = 0;
    used_pieces_ = 0;
    const std::vector<std::string_view> texts =
        file_ ? file_->next_pieces() : std::vector<std::string_view>();
    if (texts.empty()) {
      if (next_file_ == order_.size()) return false;
      file_ = std::make_unique<TextFile>(options_.files[order_[next_file_++]]);
      fields_ = fields_of(*file_);
      row_ = 1;
      return true;
    }
    used_pieces_ = texts.size();
    while (pieces_.size() < used_pieces_) pieces_.push_back(std::make_unique<Piece>());
    for (std::size_t i = 0; i < used_pieces_; ++i) pieces_[i]->text = texts[i];
    pool_->run(static_cast<std::int64_t>(used_pieces_),
               [&](std::int64_t i) { parse(*pieces_[static_cast<std::size_t>(i)]); });
    return true;
  }

  void parse(Piece& piece) const {
    const auto wanted = static_cast<std::int64_t>(file_->columns().size());
    file_->index(piece.text, piece.index);
    piece.rows.reset(options_.reader.schema);
    piece.rows.size = piece.index.rows();
    piece.bad.resize(fields_.size() + 1);
    for (BadCells& bad : piece.bad) bad.clear();
    check_shape(piece, wanted);
    std::vector<double> numbers;
    for (std::size_t c = 0; c < fields_.size(); ++c) {
      const ColumnRole& role = fields_[c].role;
      const TextColumn column(piece.index, rules_, fields_[c].field, wanted);
      BadCells& bad = piece.bad[c + 1];
      switch (role.role) {
        case Role::kLabel:
          if (role.threshold) {
            column.dense(numbers, bad);
            apply_threshold(*role.threshold, numbers, piece.rows.labels, bad);
          } else {
            column.labels(piece.rows.labels, bad);
          }
          break;
        case Role::kTime:
          column.time(piece.rows.time, bad);
          break;
        case Role::kDense:
          column.dense(numbers, bad);
          finish_dense(options_, role.index, numbers, piece.rows);
          break;
        case Role::kCategorical:
          column.ids(fields_[c].list_separator, piece.rows.categorical[role.index]);
          break;
      }
    }
  }

  void check_shape(Piece& piece, std::int64_t wanted) const {
    for (std::int64_t row = 0; row < piece.index.rows(); ++row) {
      const std::int64_t got = piece.index.fields(row);
      const bool open_quote = piece.index.open_quote() && row + 1 == piece.index.rows();
      if (got == wanted && !open_quote) continue;
      piece.bad[0].add(row, [&]() -> std::string {
        if (open_quote) return "a quote is never closed";
        return concat(got < wanted ? "too few" : "too many", " fields (", got, ", wanted ", wanted,
                      ")");
      });
    }
  }

  SourceOptions options_;
  std::vector<ColumnRole> roles_;
  std::vector<std::string> names_;  // of bad cells: "" for the row's shape, then the columns
  std::vector<std::size_t> order_;
  std::size_t next_file_ = 0;
  std::unique_ptr<TextFile> file_;
  std::vector<Field> fields_;
  std::vector<std::unique_ptr<Piece>> pieces_;
  std::size_t next_piece_ = 0;
  std::size_t used_pieces_ = 0;
  std::int64_t row_ = 1;  // number of the next row
  CellRules rules_;
  BadRowPolicy policy_;
  std::shared_ptr<ThreadPool> pool_;
};

}  // namespace

std::unique_ptr<RowSource> open_text(const SourceOptions& options) {
  return std::make_unique<TextSource>(options);
}

}  // namespace taut::data
