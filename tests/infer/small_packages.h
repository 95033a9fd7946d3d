#pragma once
// Small models of both tasks, and packages taken apart and put together again.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "infer/small_network.h"
#include "taut/core/file.h"
#include "taut/core/thread_pool.h"
#include "taut/embedding/embedding.h"
#include "taut/infer/package.h"

namespace taut::infer::test_support {

/// A model and the network that owns its values.
struct SmallModel {
  std::unique_ptr<SmallNetwork> network;
  Model model;
};

/// A convolution in 8 bits, a normalization, winners of which one map is pruned, a mean and a
/// linear layer: conv0, batch_norm1, relu2, global_mean3, linear4.
inline SmallModel image_model() {
  SmallModel small{std::make_unique<SmallNetwork>(Shape{.channels = 3, .height = 6, .width = 5}),
                   {}};
  SmallNetwork& net = *small.network;
  net.conv(4, {3, 2, 1}, 1, /*bias=*/false);
  net.quantize(0.5f, false);
  net.same(Op::kBatchNorm);
  net.same(Op::kRelu);
  net.choose_winners(0.3);
  net.keep_maps({1, 0, 1, 1});
  net.to(Op::kGlobalMean, {.channels = 4});
  net.linear(2);
  small.model.network = net.network;
  small.model.task = kImageTask;
  small.model.input = image_input_json({.mean = {0.1f, 0.2f, 0.3f},
                                        .deviation = {1, 2, 3},
                                        .class_names = {"cat", "dog"},
                                        .size = 6,
                                        .labels = "label"});
  return small;
}

/// Two tables of rows of four values.
inline std::unique_ptr<embedding::Embedding> small_tables(const std::string& method) {
  embedding::Options options;
  options.method = method;
  options.dim = 4;
  options.tables = {{.name = "t0", .distinct_ids = 20}, {.name = "t1", .distinct_ids = 20}};
  options.budget = Bytes{method == "full" ? std::int64_t{0} : std::int64_t{1} << 16};
  return embedding::make_embedding(options, std::make_shared<ThreadPool>(1));
}

/// Three columns and two tables: linear0, relu1, embedding2, interaction3, linear4.
inline SmallModel click_model() {
  SmallModel small{std::make_unique<SmallNetwork>(Shape{.channels = 3}), {}};
  SmallNetwork& net = *small.network;
  net.linear(4);
  const int bottom = net.same(Op::kRelu);
  net.choose_winners(0.5);
  const int rows = net.embedding(2, 4);
  net.interaction({bottom, rows}, 3);
  net.linear(1);
  small.model.network = net.network;
  small.model.task = kClickTask;
  return small;
}

/// Sections by name.
using Sections = std::map<std::string, std::string>;

inline Sections read_sections(const std::string& path) {
  const SectionReader file(path, kPackageKind, kPackageVersion);
  Sections sections;
  for (const std::string& name : file.names()) sections[name] = file.text(name);
  return sections;
}

inline void write_sections(const std::string& path, const Sections& sections) {
  SectionWriter file(path, kPackageKind, kPackageVersion);
  for (const auto& [name, bytes] : sections) file.add(name, bytes);
  file.commit();
}

}  // namespace taut::infer::test_support
