#include "nn/tables.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "nn/loss_scale.h"
#include "nn/section_bytes.h"
#include "nn/shared_pool.h"
#include "nn/table_keys.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

constexpr const char* kPrefix = "embedding/";

std::span<const float> values_of(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

}  // namespace

Tables::Tables(const embedding::Options& options, int threads)
    : tables_(embedding::make_embedding(options, shared_pool(threads))), threads_(threads) {}

void Tables::release_resources() {
  if (key_) forget_key(*key_);
  tables_.reset();
}

at::Tensor Tables::lookup(const Bags& bags) const {
  const auto count = static_cast<std::int64_t>(options().tables.size());
  const at::Tensor out = at::empty({bags.batch(), count, options().dim}, at::kFloat);
  const std::span<float> values(out.mutable_data_ptr<float>(),
                                static_cast<std::size_t>(out.numel()));
  const std::lock_guard lock(mutex_);
  tables_->lookup(bags.views(), bags.batch(), values);
  return out;
}

void Tables::update(const Bags& bags, double scale, const at::Tensor& gradient) {
  if (is_deferred()) {
    const at::Tensor plain = gradient.to(at::kFloat).contiguous();
    const std::lock_guard lock(mutex_);
    return waiting_->add(bags, 1.0f, values_of(plain));
  }
  const double loss = loss_scale(current_pass(), WithinPass::around());
  const double factor =
      (scale > 0 ? scale : static_cast<double>(bags.examples())) / (loss > 0 ? loss : 1.0);
  const at::Tensor scaled = gradient.to(at::kFloat).mul(factor).contiguous();
  const bool overflowed = loss > 0 && !at::isfinite(scaled).all().item<bool>();
  const std::lock_guard lock(mutex_);
  if (overflowed) {
    ++skipped_;
  } else if (gathered_) {
    gathered_->gradients.add(bags, scale > 0 ? 1.0f : static_cast<float>(gathered_->parts),
                             values_of(scaled));
  } else {
    tables_->update(bags.views(), bags.batch(), values_of(scaled));
  }
}

bool Tables::is_deferred() const {
  const std::lock_guard lock(mutex_);
  return waiting_.has_value();
}

void Tables::defer() {
  const std::lock_guard lock(mutex_);
  if (gathered_) {
    throw Error(ErrorKind::kInvalidArgument, "a step is being gathered", {}, "end it before");
  }
  if (!waiting_) waiting_.emplace(options().tables.size());
}

double Tables::end_pass(double factor) {
  const std::lock_guard lock(mutex_);
  if (!waiting_) return 0;
  waiting_->end_pass(static_cast<float>(factor));
  return waiting_->norm(options().dim);
}

void Tables::step_waiting(double scale, double factor) {
  const std::lock_guard lock(mutex_);
  if (!waiting_) return;
  const double of_sum = scale > 0 ? scale : static_cast<double>(waiting_->examples());
  waiting_->step(*tables_, static_cast<float>(of_sum * factor));
}

void Tables::set_learning_rate(double rate) {
  const std::lock_guard lock(mutex_);
  tables_->set_learning_rate(rate);
}

void Tables::gather(std::int64_t parts) {
  if (parts < 1) throw_invalid_argument("parts", "1 or more", std::to_string(parts));
  const std::lock_guard lock(mutex_);
  if (gathered_) {
    throw Error(ErrorKind::kInvalidArgument, "a step is being gathered already", {},
                "end it before another");
  }
  if (waiting_) {
    throw Error(ErrorKind::kInvalidArgument, "with fused=False gradients wait as they are", {},
                "call backward() for each part, then step()");
  }
  gathered_.emplace(Gathered{GatheredGradients(options().tables.size()), parts});
}

void Tables::step() {
  const std::lock_guard lock(mutex_);
  const std::optional<Gathered> all = std::exchange(gathered_, std::nullopt);
  if (all) all->gradients.step(*tables_, 1.0f);
}

void Tables::drop() {
  const std::lock_guard lock(mutex_);
  gathered_.reset();
  if (waiting_) waiting_.emplace(options().tables.size());
}

void Tables::share(const ProcessNames& processes) {
  const at::Tensor held = state();
  const std::lock_guard lock(mutex_);
  if (processes_ || gathered_) {
    throw Error(ErrorKind::kInvalidArgument,
                processes_ ? "the tables are shared already" : "a step is being gathered", {},
                "share tables of one process, between steps");
  }
  auto shared = make_shared_rows(options(), shared_pool(threads_), processes);
  shared->load(SectionBytesReader(held), kPrefix);
  shared->set_learning_rate(tables_->learning_rate());
  tables_ = std::move(shared);
  processes_ = processes;
}

bool Tables::is_shared() const {
  const std::lock_guard lock(mutex_);
  return processes_.has_value();
}

std::string Tables::statistics() const {
  const std::lock_guard lock(mutex_);
  const embedding::Statistics statistics = tables_->statistics();
  nlohmann::ordered_json json = {{"memory_bytes", statistics.memory_bytes},
                                 {"budget_bytes", statistics.budget_bytes},
                                 {"resident_rows", statistics.resident_rows},
                                 {"rows_by_width", statistics.rows_by_width},
                                 {"threshold", statistics.threshold},
                                 {"admitted_rows", statistics.admitted_rows},
                                 {"evicted_rows", statistics.evicted_rows},
                                 {"skipped_updates", statistics.skipped_updates + skipped_}};
  for (const auto& [part, bytes] : statistics.parts) json["parts"][part] = bytes;
  return json.dump();
}

at::Tensor Tables::state() const {
  SectionBytesWriter bytes;
  const std::lock_guard lock(mutex_);
  tables_->save(bytes, kPrefix);
  return processes_ ? from_first(bytes.finish(), *processes_) : bytes.finish();
}

void Tables::load(const at::Tensor& state) {
  const SectionBytesReader sections(state.cpu());
  const std::lock_guard lock(mutex_);
  tables_->load(sections, kPrefix);
}

void Tables::read_rows(std::size_t table, std::span<const std::uint64_t> ids,
                       embedding::Rows& rows) const {
  const std::lock_guard lock(mutex_);
  tables_->read_rows(table, ids, rows);
}

embedding::LoadedRows Tables::load_rows(const embedding::Rows& rows) {
  const std::lock_guard lock(mutex_);
  return tables_->load_rows(rows);
}

}  // namespace taut::nn
