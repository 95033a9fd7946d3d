#include "cli/config_network.h"

#include "taut/data/images.h"
#include "taut/data/reader.h"
#include "taut/embedding/options.h"
#include "taut/graph/recommender.h"
#include "taut/graph/zoo.h"
#include "taut/train/config.h"
#include "taut/train/image_config.h"
#include "taut/train/model.h"

namespace taut::cli {
namespace {

graph::Network image_network(const train::ImageConfig& config) {
  data::ImageSourceOptions source{.files = config.data.train};
  source.labels = config.data.labels;
  source.size = config.data.size;
  source.limit = config.data.limit;
  source.on_bad = config.data.on_bad_row;
  const data::ImageSet images = data::read_images(source);
  graph::Network network = graph::make_network(
      config.network.kind, {.input = {images.channels, images.height, images.width},
                            .classes = images.classes,
                            .width = config.network.width});
  const nn::WinnerPolicy& winners = config.network.winners;
  network.winners = {
      .unit = winners.unit, .score = winners.score, .block = winners.block, .rates = winners.rates};
  return network;
}

graph::Network recommender_network(const train::Config& config) {
  const data::Schema& schema = config.data.schema;
  const data::DataProfile profile = data::learn_profile(
      train::reader_options(config, config.data.train, data::DataProfile{}), config.data.scaling);
  graph::RecommenderShape shape;
  shape.kind = config.model.kind;
  shape.interaction = config.model.interaction;
  shape.dense = static_cast<std::int64_t>(schema.dense.size());
  shape.dim = config.embedding.dim;
  shape.bottom = config.model.bottom;
  shape.top = config.model.top;
  Bytes full;
  for (std::size_t i = 0; i < schema.categorical.size(); ++i) {
    const std::int64_t rows = profile.distinct_ids[i];
    const Bytes bytes = embedding::full_bytes(rows, shape.dim);
    shape.tables.push_back({.name = schema.categorical[i], .rows = rows, .bytes = bytes.count});
    full.count += bytes.count;
  }
  const Bytes budget = resolve_budget(config.budget, full);
  for (graph::Table& table : shape.tables) {
    const double share = static_cast<double>(table.bytes) / static_cast<double>(full.count);
    table.bytes = static_cast<std::int64_t>(share * static_cast<double>(budget.count));
  }
  graph::Network network = graph::recommender_network(shape);
  network.winners.rates = {config.model.winner_rate};
  return network;
}

// One rate for all sites becomes one for each; rates of 1 choose nothing.
void spread_rates(graph::Network& network) {
  std::vector<double>& rates = network.winners.rates;
  if (rates.size() == 1) rates.assign(network.winner_sites().size(), rates.front());
}

}  // namespace

graph::Network config_network(const std::string& path, std::span<const std::string> settings) {
  graph::Network network = train::config_task(path) == train::kImageTask
                               ? image_network(train::load_image_config(path, settings))
                               : recommender_network(train::load_config(path, settings));
  spread_rates(network);
  return network;
}

}  // namespace taut::cli
