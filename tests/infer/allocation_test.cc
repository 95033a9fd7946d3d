// The engine with memory that runs out at each allocation in turn. Not packages: the JSON library
// asks for memory in destructors, and ends the process where there is none.
#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <vector>

#include "infer/small_packages.h"
#include "support/failing_allocations.h"
#include "taut/core/thread_pool.h"
#include "taut/infer/engine.h"

namespace taut::infer {
namespace {

using test::fail_each_allocation;
using test::FailingCase;
using test_support::SmallModel;

constexpr std::int64_t kBatch = 3;

// What an engine gives for an input that is always the same.
class Answers {
 public:
  explicit Answers(const SmallModel& small)
      : input_(small.network->random_input(kBatch)), wanted_(of(Engine(small.model.network))) {}

  [[nodiscard]] std::vector<float> of(const Engine& engine) {
    std::vector<float> scores(static_cast<std::size_t>(kBatch * engine.outputs()));
    predict(engine, scores);
    return scores;
  }
  void predict(const Engine& engine, std::span<float> scores) {
    engine.predict({.batch = kBatch, .values = input_}, scores, pool_);
  }
  [[nodiscard]] const std::vector<float>& wanted() const { return wanted_; }

 private:
  ThreadPool pool_{2};
  std::vector<float> input_;
  std::vector<float> wanted_;
};

TEST(Allocation, AnEngineIsMadeWholeOrNotAtAll) {
  const SmallModel small = test_support::image_model();
  Answers answers(small);
  std::unique_ptr<Engine> engine;
  const auto making = [&] {
    engine.reset();
    return FailingCase{[&] { engine = std::make_unique<Engine>(small.model.network); },
                       [&](bool ended) {
                         ASSERT_EQ(engine != nullptr, ended);
                         if (ended) {
                           EXPECT_EQ(answers.of(*engine), answers.wanted());
                         }
                         engine.reset();
                       }};
  };
  EXPECT_GT(fail_each_allocation(making), 10);
}

TEST(Allocation, AnEngineAnswersAgainAfterACallWithoutMemory) {
  const SmallModel small = test_support::image_model();
  Answers answers(small);
  std::unique_ptr<Engine> engine;
  std::vector<float> scores(answers.wanted().size());
  const auto predicting = [&] {
    engine = std::make_unique<Engine>(small.model.network);
    return FailingCase{[&] { answers.predict(*engine, scores); },
                       [&](bool ended) {
                         if (ended) {
                           EXPECT_EQ(scores, answers.wanted());
                         }
                         EXPECT_EQ(answers.of(*engine), answers.wanted());
                         engine.reset();
                       }};
  };
  EXPECT_GT(fail_each_allocation(predicting), 1);
}

}  // namespace
}  // namespace taut::infer
