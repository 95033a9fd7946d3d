#pragma once
// The one list of a recommender's config keys: reading, writing, unknown-key errors and docs all
// walk it.

#include "taut/train/recommender.h"
#include "train/config_io.h"

namespace taut::train {

/// Calls visit(section, key, value) for every key in order; value is a reference to the member
/// (std::string, numbers, lists, enums, Budget, CheckpointInterval), a PathList or a PathText.
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
  visit("data", "shuffle", c.shuffle_rows);
  visit("model", "kind", c.model.kind);
  visit("model", "interaction", c.model.interaction);
  visit("model", "bottom", c.model.bottom);
  visit("model", "top", c.model.top);
  visit("model", "winner_rate", c.model.winner_rate);
  visit("model", "winner_from", c.winners.from);
  visit("model", "winner_ramp", c.winners.ramp);
  visit("model", "winner_ramp_shape", c.winners.shape);
  visit("embedding", "method", c.embedding.method);
  visit("embedding", "dim", c.embedding.dim);
  visit("embedding", "budget", c.budget);
  visit("embedding", "initial", PathText{c.initial_rows});
  visit("embedding", "value_type", c.embedding.value_type);
  visit("embedding", "admission", c.embedding.admission);
  visit("embedding", "keys", c.embedding.keys);
  visit("embedding", "cold_share", c.embedding.cold_share);
  visit("embedding", "chunk", c.embedding.chunk);
  visit("embedding", "beta", c.embedding.beta);
  visit("embedding", "decay", c.embedding.decay);
  visit("embedding", "period", c.embedding.period);
  visit("embedding", "optimizer", c.embedding.optimizer);
  visit("embedding", "learning_rate", c.embedding.learning_rate);
  visit("embedding", "initial_accumulator", c.embedding.initial_accumulator);
  visit("embedding", "epsilon", c.embedding.epsilon);
  visit("embedding", "adam_beta1", c.embedding.adam_beta1);
  visit("embedding", "adam_beta2", c.embedding.adam_beta2);
  visit("embedding", "gradient_clip", c.embedding.gradient_clip);
  visit("embedding", "l2", c.embedding.l2);
  visit("embedding", "on_nan", c.embedding.on_nan);
  visit("embedding", "sketch_share", c.embedding.sketch_share);
  visit("embedding", "reserve", c.embedding.reserve);
  visit("embedding", "hysteresis", c.embedding.hysteresis);
  visit("embedding", "precision_ratio", c.embedding.precision_ratio);
  visit("embedding", "cold_learning_rate", c.embedding.cold_learning_rate);
  visit("train", "epochs", c.train.epochs);
  visit("train", "batch_size", c.train.batch_size);
  visit("train", "optimizer", c.model.optimizer);
  visit("train", "learning_rate", c.train.learning_rate);
  visit("train", "weight_decay", c.model.weight_decay);
  visit("train", "checkpoint_every", c.train.checkpoint_every);
  visit("train", "log_every", c.train.log_every);
  visit("train", "early_stop", c.train.early_stop);
  visit("train", "seed", c.train.seed);
}

}  // namespace taut::train
