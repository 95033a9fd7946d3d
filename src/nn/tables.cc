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
  const double loss = loss_scale(current_pass(), WithinPass::around());
  const double factor =
      (scale > 0 ? scale : static_cast<double>(bags.examples())) / (loss > 0 ? loss : 1.0);
  const at::Tensor scaled = gradient.to(at::kFloat).mul(factor).contiguous();
  const bool overflowed = loss > 0 && !at::isfinite(scaled).all().item<bool>();
  const std::lock_guard lock(mutex_);
  if (overflowed) {
    ++skipped_;
  } else if (gathered_) {
    append(bags, scale > 0 ? 1.0 : static_cast<double>(gathered_->parts), values_of(scaled));
  } else {
    tables_->update(bags.views(), bags.batch(), values_of(scaled));
  }
}

void Tables::gather(std::int64_t parts) {
  if (parts < 1) throw_invalid_argument("parts", "1 or more", std::to_string(parts));
  const std::lock_guard lock(mutex_);
  if (gathered_) {
    throw Error(ErrorKind::kInvalidArgument, "a step is being gathered already", {},
                "end it before another");
  }
  gathered_.emplace();
  gathered_->parts = parts;
  gathered_->tables.resize(options().tables.size());
}

void Tables::append(const Bags& bags, double factor, std::span<const float> gradient) {
  Gathered& all = *gathered_;
  for (std::size_t t = 0; t < all.tables.size(); ++t) {
    const JaggedIds& given = bags.views()[t];
    check_jagged(given, bags.batch(), concat("tables[", t, "]"));
    GatheredIds& table = all.tables[t];
    const auto before = static_cast<std::int64_t>(table.ids.size());
    if (!given.weights.empty() || !table.weights.empty()) {
      table.weights.resize(table.ids.size(), 1.0f);
      table.weights.insert(table.weights.end(), given.weights.begin(), given.weights.end());
      table.weights.resize(table.ids.size() + given.ids.size(), 1.0f);
    }
    table.ids.insert(table.ids.end(), given.ids.begin(), given.ids.end());
    for (const std::int64_t end : given.offsets.subspan(1)) table.offsets.push_back(before + end);
  }
  for (const float value : gradient) all.gradient.push_back(value * static_cast<float>(factor));
  all.batch += bags.batch();
}

void Tables::step() {
  const std::lock_guard lock(mutex_);
  const std::optional<Gathered> all = std::exchange(gathered_, std::nullopt);
  if (!all || all->batch == 0) return;
  std::vector<JaggedIds> views;
  for (const GatheredIds& table : all->tables) {
    views.push_back({.ids = table.ids, .offsets = table.offsets, .weights = table.weights});
  }
  tables_->update(views, all->batch, all->gradient);
}

void Tables::drop() {
  const std::lock_guard lock(mutex_);
  gathered_.reset();
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
  {
    const std::lock_guard lock(mutex_);
    tables_->save(bytes, kPrefix);
  }
  return bytes.finish();
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
