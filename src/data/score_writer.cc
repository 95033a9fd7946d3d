#include "taut/data/score_writer.h"

#include <numeric>
#include <utility>

#include "table_writer.h"

namespace taut::data {
namespace {

std::vector<OutputColumn> with_row_numbers(const std::vector<ScoreColumn>& columns) {
  std::vector<OutputColumn> all = {{"row", OutputType::kInt64}};
  for (const ScoreColumn& column : columns) {
    all.push_back({column.name, column.is_text ? OutputType::kText : OutputType::kFloat,
                   /*nullable=*/true});
  }
  return all;
}

class NumberedScores : public ScoreWriter {
 public:
  NumberedScores(const std::string& path, const std::vector<ScoreColumn>& columns)
      : table_(open_table(path, with_row_numbers(columns))) {}

  void write(std::span<const ScoreValues> columns, std::int64_t rows) override {
    std::vector<std::int64_t> numbers(static_cast<std::size_t>(rows));
    std::iota(numbers.begin(), numbers.end(), next_row_);
    next_row_ += rows;
    std::vector<OutputValues> all;
    all.emplace_back(std::move(numbers));
    for (const ScoreValues& column : columns) {
      std::visit([&](const auto& values) { all.emplace_back(values); }, column);
    }
    table_->write(all, rows);
  }

  void commit() override { (void)table_->commit(); }

 private:
  std::unique_ptr<TableWriter> table_;
  std::int64_t next_row_ = 0;
};

}  // namespace

std::unique_ptr<ScoreWriter> open_scores(const std::string& path,
                                         const std::vector<ScoreColumn>& columns) {
  return std::make_unique<NumberedScores>(path, columns);
}

}  // namespace taut::data
