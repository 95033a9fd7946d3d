#pragma once
// The one list of a recommender's config keys: reading, writing, unknown-key errors and docs all
// walk it.

#include <concepts>
#include <vector>

#include "taut/embedding/option_list.h"
#include "taut/train/recommender.h"
#include "train/config_io.h"

namespace taut::train {

/// Calls visit(section, key, value) for every key in order; value is a reference to the member
/// (std::string, numbers, lists, enums, Budget, CheckpointInterval, BatchPiece), a PathList or a
/// PathText.
template <typename Visit>
void visit_fields(RecommenderConfig& c, Visit&& visit) {
  visit("data", "train", PathList{c.data.train});
  visit("data", "valid", PathList{c.data.valid});
  visit("data", "test", PathList{c.data.test});
  visit("data", "format", c.format);
  visit("data", "label", c.schema.label);
  visit("data", "dense", c.schema.dense);
  visit("data", "categorical", c.schema.categorical);
  visit("data", "time", c.schema.time);
  visit("data", "scaling", c.scaling);
  visit("data", "on_bad_row", c.data.on_bad_row);
  visit("data", "separator", c.text.separator);
  visit("data", "list_separator", c.text.list_separator);
  visit("data", "thousands", c.text.thousands);
  visit("data", "na_values", c.text.na_values);
  visit("data", "encoding", c.text.encoding);
  visit("data", "shuffle", c.shuffle_rows);
  visit("model", "kind", c.model.kind);
  visit("model", "interaction", c.model.interaction);
  visit("model", "bottom", c.model.bottom);
  visit("model", "top", c.model.top);
  visit("model", "winner_rate", c.model.winner_rate);
  visit("model", "winner_from", c.winners.from);
  visit("model", "winner_ramp", c.winners.ramp);
  visit("model", "winner_ramp_shape", c.winners.shape);
  embedding::visit_options(c.embedding, [&](const auto& option) {
    using Value = embedding::OptionValue<decltype(option)>;
    if (!option.in_config()) return;
    if constexpr (std::same_as<Value, Bytes>) {
      visit("embedding", option.key, c.budget);
      visit("embedding", "initial", PathText{c.initial_rows});
    } else if constexpr (!std::same_as<Value, std::vector<embedding::TableOptions>>) {
      visit("embedding", option.key, option.value);
    }
  });
  visit("train", "epochs", c.train.epochs);
  visit("train", "batch_size", c.train.batch_size);
  visit("train", "optimizer", c.model.optimizer);
  visit("train", "learning_rate", c.train.learning_rate);
  visit("train", "weight_decay", c.model.weight_decay);
  visit("train", "bf16", c.model.bf16);
  visit("train", "products", c.model.products);
  visit("train", "piece", c.piece);
  visit("train", "checkpoint_every", c.train.checkpoint_every);
  visit("train", "log_every", c.train.log_every);
  visit("train", "early_stop", c.train.early_stop);
  visit("train", "seed", c.train.seed);
}

}  // namespace taut::train
