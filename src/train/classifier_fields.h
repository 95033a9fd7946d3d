#pragma once
// The one list of an image config's keys.

#include "taut/train/classifier.h"
#include "train/config_io.h"

namespace taut::train {

/// See visit_fields of config_fields.h.
template <typename Visit>
void visit_fields(ImageConfig& c, Visit&& visit) {
  visit("data", "train", PathList{c.data.train});
  visit("data", "valid", PathList{c.data.valid});
  visit("data", "test", PathList{c.data.test});
  visit("data", "labels", c.labels);
  visit("data", "size", c.size);
  visit("data", "limit", c.limit);
  visit("data", "crop_padding", c.crop_padding);
  visit("data", "flip", c.flip);
  visit("data", "on_bad_row", c.data.on_bad_row);
  visit("model", "kind", c.model.kind);
  visit("model", "width", c.model.width);
  visit("model", "initial", PathText{c.initial});
  visit("model", "winner_rate", NumberList{c.model.winners.rates});
  visit("model", "unit", c.model.winners.unit);
  visit("model", "score", c.model.winners.score);
  visit("model", "block", c.model.winners.block);
  visit("model", "winner_from", c.winners.from);
  visit("model", "winner_ramp", c.winners.ramp);
  visit("model", "winner_ramp_shape", c.winners.shape);
  visit("teacher", "run", PathText{c.teacher.run});
  visit("teacher", "weight", c.teacher.weight);
  visit("teacher", "temperature", c.teacher.temperature);
  visit("prune", "share", c.prune.share);
  visit("prune", "kind", c.prune.kind);
  visit("prune", "maps", NumberList{c.prune.maps});
  visit("prune", "from", c.prune.from);
  visit("prune", "ramp", c.prune.ramp);
  visit("quantize", "mode", c.quantize.mode);
  visit("quantize", "calibration", c.quantize.calibration);
  visit("quantize", "from", c.quantize.from);
  visit("quantize", "images", c.quantize.images);
  visit("train", "epochs", c.train.epochs);
  visit("train", "batch_size", c.train.batch_size);
  visit("train", "optimizer", c.model.optimizer);
  visit("train", "learning_rate", c.train.learning_rate);
  visit("train", "momentum", c.model.momentum);
  visit("train", "weight_decay", c.model.weight_decay);
  visit("train", "schedule", c.schedule);
  visit("train", "warmup", c.warmup);
  visit("train", "label_smoothing", c.model.label_smoothing);
  visit("train", "ema", c.model.ema);
  visit("train", "bf16", c.model.bf16);
  visit("train", "piece", c.model.piece);
  visit("train", "checkpoint_every", c.train.checkpoint_every);
  visit("train", "log_every", c.train.log_every);
  visit("train", "early_stop", c.train.early_stop);
  visit("train", "seed", c.train.seed);
}

}  // namespace taut::train
