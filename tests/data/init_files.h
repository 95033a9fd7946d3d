#pragma once
// What tests of init share: CSV files made from a function for each column, and a look at a guess.

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "taut/core/hash.h"
#include "taut/core/text.h"
#include "taut/data/init.h"
#include "test_files.h"

namespace taut::data::testing {

class InitFiles : public ::testing::Test {
 protected:
  struct Column {
    std::string name;
    std::function<std::string(int row)> cell;
  };

  /// rows: of the files that write() makes unless told.
  explicit InitFiles(int rows) : rows_(rows) {}

  std::string write(const std::string& name, const std::vector<Column>& columns) {
    return write(name, columns, rows_);
  }
  std::string write(const std::string& name, const std::vector<Column>& columns, int rows) {
    std::vector<std::string> names;
    for (const Column& column : columns) names.push_back(column.name);
    std::string text = join(names, ",") + "\n";
    for (int row = 0; row < rows; ++row) {
      std::vector<std::string> cells;
      for (const Column& column : columns) cells.push_back(column.cell(row));
      text += join(cells, ",") + "\n";
    }
    write_text(dir_.file(name), text);
    return dir_.file(name);
  }

  static const ColumnGuess& column(const SchemaGuess& guess, const std::string& name) {
    for (const ColumnGuess& found : guess.columns) {
      if (found.name == name) return found;
    }
    throw std::runtime_error("no column " + name);
  }

  /// A random number of a row; another one for each salt.
  static std::uint64_t noise(int row, std::uint64_t salt) {
    return hash_combine(static_cast<std::uint64_t>(row), salt);
  }
  static std::string label(int row) { return noise(row, 1) % 3 == 0 ? "1" : "0"; }

  test::TemporaryDirectory dir_;

 private:
  int rows_;
};

}  // namespace taut::data::testing
