#include "train/metrics_file.h"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::train {

void MetricsFile::throw_io(const char* action) const {
  throw Error(ErrorKind::kIo, concat("cannot ", action, ": ", std::strerror(errno)), path_);
}

void MetricsFile::open_at(std::int64_t bytes) {
  file_.reset(std::fopen(path_.c_str(), "ab"));
  if (file_ == nullptr) throw_io("write the file");
  if (std::fseek(file_.get(), 0, SEEK_END) != 0) throw_io("seek in the file");
  if (std::ftell(file_.get()) < bytes) {
    throw Error(ErrorKind::kFormat, "the file is shorter than the checkpoint says", path_,
                "restore it, or start the run anew in another folder");
  }
  if (::ftruncate(::fileno(file_.get()), bytes) != 0) throw_io("cut the file");
  bytes_ = bytes;
}

void MetricsFile::append(const LoopState& state, double loss, const Model& model) {
  const double auc = area_under_curve(state.window_logits, state.window_labels);
  nlohmann::ordered_json line = {{"step", state.steps},
                                 {"examples", state.examples},
                                 {"seconds", state.train_seconds},
                                 {"loss", loss}};
  if (std::isfinite(auc)) line["auc"] = auc;
  if (model.tables() != nullptr) {
    const embedding::Statistics statistics = model.tables()->statistics();
    line["memory_bytes"] = statistics.memory_bytes;
    line["budget_bytes"] = statistics.budget_bytes;
    for (const auto& [part, size] : statistics.parts) line["memory_parts"][part] = size;
    line["resident_rows"] = statistics.resident_rows;
    line["rows_by_width"] = statistics.rows_by_width;
    line["rebalance_seconds"] = statistics.rebalance_seconds;
  }
  const std::string text = line.dump() + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size();
  if (!written || std::fflush(file_.get()) != 0) throw_io("write the file");
  bytes_ += static_cast<std::int64_t>(text.size());
}

void MetricsFile::flush() {
  if (::fsync(::fileno(file_.get())) != 0) throw_io("flush the file");
}

}  // namespace taut::train
