// The additions that make a sum over pieces: the same ones however the pieces were dealt.
#include "nn/piece_order.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <string>
#include <utility>

#include "nn/piece_sums.h"
#include "taut/core/random.h"

namespace taut::nn {
namespace {

using Terms = std::vector<std::pair<PieceNode, std::string>>;

// Adds up terms as they come, and says how: "((0+1)+2)".
class Written {
 public:
  void add(const PieceNode& node, std::string term) {
    terms_.push_back(std::move(term));
    merge(order_.push(node));
  }
  [[nodiscard]] Terms left() const {
    Terms left;
    for (std::size_t i = 0; i < terms_.size(); ++i) left.emplace_back(order_.nodes()[i], terms_[i]);
    return left;
  }
  [[nodiscard]] std::string total() {
    merge(order_.merges_at_end());
    return terms_.size() == 1 ? terms_[0] : "";
  }

 private:
  void merge(int merges) {
    for (; merges > 0; --merges) {
      const std::string right = std::move(terms_.back());
      terms_.pop_back();
      terms_.back() = "(" + terms_.back() + "+" + right + ")";
    }
  }

  PieceOrder order_;
  std::vector<std::string> terms_;
};

std::string written_alone(std::int64_t pieces) {
  Written sum;
  for (std::int64_t k = 0; k < pieces; ++k) sum.add({.index = k}, std::to_string(k));
  return sum.total();
}

TEST(PieceOrder, IsABinaryTreeWhoseRestIsAddedFromTheRight) {
  EXPECT_EQ(written_alone(1), "0");
  EXPECT_EQ(written_alone(3), "((0+1)+2)");
  EXPECT_EQ(written_alone(4), "((0+1)+(2+3))");
  EXPECT_EQ(written_alone(7), "(((0+1)+(2+3))+((4+5)+6))");
}

TEST(PieceOrder, IsTheSameForAnyNumberOfWorkers) {
  for (std::int64_t pieces = 1; pieces < 70; ++pieces) {
    const std::string wanted = written_alone(pieces);
    for (std::int64_t workers = 1; workers <= 9; ++workers) {
      Written sum;
      for (std::int64_t rank = 0; rank < workers; ++rank) {
        const Range mine = share_of(pieces, 1, {.index = rank, .of = workers});
        Written own;
        for (std::int64_t k = mine.begin; k < mine.end(); ++k) {
          own.add({.index = k}, std::to_string(k));
        }
        const std::vector<PieceNode> expected = nodes_of(mine);
        const Terms terms = own.left();
        ASSERT_EQ(terms.size(), expected.size());
        for (std::size_t i = 0; i < terms.size(); ++i) {
          EXPECT_EQ(terms[i].first, expected[i]);
          sum.add(terms[i].first, terms[i].second);
        }
      }
      EXPECT_EQ(sum.total(), wanted) << pieces << " pieces, " << workers << " workers";
    }
  }
}

TEST(PieceOrder, LeavesOneSumWherePowersOfTwoAreDealtToPowersOfTwo) {
  for (std::int64_t workers = 1; workers <= 16; workers *= 2) {
    for (std::int64_t rank = 0; rank < workers; ++rank) {
      EXPECT_EQ(nodes_of(share_of(16, 1, {.index = rank, .of = workers})).size(), 1u);
    }
  }
  EXPECT_EQ(nodes_of({.begin = 1, .size = 6}).size(), 4u);  // 1, 2-3, 4-5, 6
  EXPECT_TRUE(nodes_of({.begin = 5, .size = 0}).empty());
}

// A turned matrix and a vector, of values whose sums round.
TEST(PieceSums, AddWhatLiesInTheirPlaces) {
  const at::Tensor weight = at::zeros({5, 3}).t();
  const at::Tensor bias = at::zeros({3});
  PieceSums sums({weight, bias});
  for (int batch = 0; batch < 2; ++batch) {
    sums.start();
    std::vector<at::Tensor> pieces;
    const auto add = [&](const PieceSums::Place& place) {
      sums.merge(place, 0, 0, 7);  // in two tiles
      sums.merge(place, 0, 7, 8);
      sums.merge(place, 1, 0, 3);
    };
    for (std::int64_t k = 0; k < 6; ++k) {
      const CounterRandom random = CounterRandom(3).with(static_cast<std::uint64_t>(6 * batch + k));
      at::Tensor piece = at::empty({15 + 3});
      for (std::int64_t i = 0; i < 18; ++i) {
        piece[i] = random.uniform(static_cast<std::uint64_t>(i)) - 0.5;
      }
      const PieceSums::Place place = sums.next(k);
      sums.values(place.slot, 0).t().copy_(piece.narrow(0, 0, 15).view({5, 3}));
      sums.values(place.slot, 1).copy_(piece.narrow(0, 15, 3));
      add(place);
      pieces.push_back(piece);
    }
    add(sums.end());
    const at::Tensor wanted =
        ((pieces[0] + pieces[1]) + (pieces[2] + pieces[3])) + (pieces[4] + pieces[5]);
    EXPECT_TRUE(at::equal(sums.total()[0].t().reshape({15}), wanted.narrow(0, 0, 15)));
    EXPECT_TRUE(at::equal(sums.total()[1], wanted.narrow(0, 15, 3)));
  }
  sums.start();
  EXPECT_TRUE(at::equal(sums.total()[0], weight));  // nothing was taken
}

}  // namespace
}  // namespace taut::nn
