#include "train/progressive.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/temporary_directory.h"
#include "taut/core/error.h"
#include "taut/core/random.h"

namespace taut::train {
namespace {

struct Examples {
  std::vector<float> logits;
  std::vector<float> labels;
};

// Logits as a fair model would give them: the label is 1 as often as they say.
Examples make_examples(std::uint64_t seed, std::uint64_t count) {
  Examples examples;
  const CounterRandom random(seed);
  for (std::uint64_t i = 0; i < count; ++i) {
    const double logit = 2 * random.normal(2 * i);
    examples.logits.push_back(static_cast<float>(logit));
    examples.labels.push_back(random.uniform(2 * i + 1) < 1 / (1 + std::exp(-logit)) ? 1.0f : 0.0f);
  }
  return examples;
}

TEST(ProgressiveQuality, AgreesWithTheExactMeasures) {
  const Examples examples = make_examples(1, 20000);
  const Quality exact = measure_quality(examples.logits, examples.labels);
  ProgressiveQuality progressive;
  const std::span<const float> logits(examples.logits);
  const std::span<const float> labels(examples.labels);
  progressive.add(logits.first(700), labels.first(700));
  progressive.add(logits.subspan(700), labels.subspan(700));
  const Quality counted = progressive.quality();
  EXPECT_EQ(counted.examples, 20000);
  EXPECT_NEAR(counted.auc, exact.auc, 1e-5);
  EXPECT_NEAR(counted.log_loss, exact.log_loss, 1e-9);
  EXPECT_NEAR(counted.normalized_entropy, exact.normalized_entropy, 1e-9);
}

TEST(ProgressiveQuality, CountsLogitsBeyondTheLastBin) {
  ProgressiveQuality progressive;
  progressive.add(std::vector<float>{-1e30f, 1e30f, -17, 17}, std::vector<float>{0, 1, 0, 1});
  EXPECT_EQ(progressive.quality().auc, 1);
}

TEST(ProgressiveQuality, HasNoAucWhileAClassIsMissing) {
  ProgressiveQuality progressive;
  EXPECT_EQ(progressive.quality().examples, 0);
  EXPECT_TRUE(std::isnan(progressive.quality().auc));
  progressive.add(std::vector<float>{0.5f}, std::vector<float>{1});
  EXPECT_EQ(progressive.quality().examples, 1);
  EXPECT_TRUE(std::isnan(progressive.quality().auc));
}

TEST(ProgressiveQuality, ComesBackFromAFileAndGoesOn) {
  const Examples examples = make_examples(2, 3000);
  ProgressiveQuality whole;
  whole.add(examples.logits, examples.labels);
  whole.add(examples.labels, examples.labels);
  ProgressiveQuality part;
  part.add(examples.logits, examples.labels);
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("progressive.taut");
  SectionWriter writer(path, "test", 1);
  part.save(writer);
  writer.commit();
  ProgressiveQuality restored;
  restored.load(SectionReader(path, "test", 1));
  restored.add(examples.labels, examples.labels);
  EXPECT_EQ(restored.quality().auc, whole.quality().auc);
  EXPECT_EQ(restored.quality().log_loss, whole.quality().log_loss);
}

TEST(ProgressiveQuality, NamesCountsOfAnotherShape) {
  const test::TemporaryDirectory folder;
  const std::string path = folder.file("progressive.taut");
  SectionWriter writer(path, "test", 1);
  writer.add_array("progressive/counts",
                   std::span<const std::int64_t>(std::vector<std::int64_t>(7)));
  writer.add_array("progressive/loss", std::span<const double>(std::vector<double>(1)));
  writer.commit();
  try {
    ProgressiveQuality().load(SectionReader(path, "test", 1));
    FAIL() << "no error";
  } catch (const Error& failed) {
    EXPECT_NE(std::string(failed.what()).find("got 7 and 1"), std::string::npos) << failed.what();
  }
}

}  // namespace
}  // namespace taut::train
