#include "taut/core/share.h"

#include <gtest/gtest.h>

namespace taut {
namespace {

// Every total, piece and number of parts that is small: parts follow one another and differ by at
// most one piece.
TEST(ShareOf, CutsWithoutGapsAtWholePieces) {
  for (std::int64_t total = 0; total <= 40; ++total) {
    for (std::int64_t piece = 1; piece <= 9; ++piece) {
      for (std::int64_t parts = 1; parts <= 7; ++parts) {
        const std::int64_t pieces = (total + piece - 1) / piece;
        std::int64_t at = 0;
        for (std::int64_t part = 0; part < parts; ++part) {
          const Range range = share_of(total, piece, {.index = part, .of = parts});
          EXPECT_EQ(range.begin, at);
          EXPECT_TRUE(range.begin % piece == 0 || range.begin == total);
          const std::int64_t held = (range.size + piece - 1) / piece;
          EXPECT_GE(held, pieces / parts);
          EXPECT_LE(held, (pieces + parts - 1) / parts);
          at = range.end();
        }
        EXPECT_EQ(at, total) << total << " in pieces of " << piece << " for " << parts;
      }
    }
  }
}

}  // namespace
}  // namespace taut
