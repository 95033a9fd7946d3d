#pragma once
// Tables whose rows have the width and precision that the optimizer's own state is worth.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dealt_shards.h"
#include "dense_rows.h"
#include "elastic_form.h"
#include "elastic_plan.h"
#include "elastic_shard.h"
#include "registry.h"

namespace taut::embedding {

/// Methods elastic, row and cafe: pages inside the budget, rows that move by importance. The loop
/// of training is in elastic.cc, checkpoints and new budgets in elastic_life.cc.
class ElasticEmbedding final : public RowwiseEmbedding {
 public:
  /// peers: null, or those of whose collection this is a part; shards of others hold no byte.
  ElasticEmbedding(const Options& options, std::shared_ptr<ThreadPool> pool,
                   const ElasticPlan& plan, std::shared_ptr<Peers> peers);

  [[nodiscard]] const Dealt& dealt() const noexcept { return dealt_; }

  [[nodiscard]] std::int64_t memory_bytes() const noexcept override { return counter_.bytes(); }
  [[nodiscard]] std::int64_t peak_memory_bytes() const noexcept override {
    return counter_.peak_bytes();
  }
  [[nodiscard]] Statistics statistics() const override;
  void save(SectionSink& file, const std::string& prefix) const override;
  void load(const SectionSource& file, const std::string& prefix) override;
  void export_frozen(SectionSink& file, const std::string& prefix) const override;
  void resize_budget(Bytes budget) override;

 protected:
  void sort_ids(std::span<const JaggedIds> tables, std::int64_t batch,
                GradientGrouper& grouper) override {
    grouper.sort(reader_, tables, batch, *pool_);
  }
  void do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<float> out) const override;
  void update_shard(int shard, const TouchedRows& rows) override;
  void end_step() override;
  void do_read_rows(std::size_t table, std::span<const std::uint64_t> ids,
                    Rows& rows) const override {
    ElasticReader reader = reader_;
    reader.inflation = inflation_;
    append_rows(reader, table, ids, options_.dim, rows);
  }
  LoadedRows do_load_rows(const Rows& rows) override;
  void take_learning_rate() override { optimizer_ = RowOptimizer(options_, learning_rate()); }

 private:
  [[nodiscard]] StepContext context() const;
  // What a loaded row should hold at the rule's threshold; width 0: nothing.
  [[nodiscard]] RowState loaded_state(const Rows& rows, std::size_t row) const;
  void choose_load_threshold(const std::vector<RowState>& widest);
  [[nodiscard]] ElasticPlan plan() const;
  [[nodiscard]] static WidthRule rule_for(const PageLayout& layout, const Options& options);
  void rebalance();
  void choose_threshold(std::int64_t most_pages, double room_factor);
  void choose_admission();
  [[nodiscard]] ElasticShard moved_shard(std::size_t index, const ShardSizes& sizes,
                                         const PageLayout* layout);
  void move_shards(const ShardSizes& sizes, Bytes budget);
  void move_shards_together(const ShardSizes& sizes, std::unique_ptr<PageLayout> layout);
  void refresh_reader();
  [[nodiscard]] bool is_mine(std::size_t shard) const noexcept {
    return dealt_.is_mine(static_cast<std::int64_t>(shard));
  }

  // Asks for all shards of a plan to lie side by side.
  void reserve_shards(const ElasticPlan& plan);

  Dealt dealt_;  // the shards
  MemoryCounter counter_;
  MemoryPool memory_;  // the shards' bytes
  RowOptimizer optimizer_;
  std::unique_ptr<PageLayout> layout_;  // shards point to it
  bool may_switch_;
  bool sketch_;
  float inflation_ = 1;
  double rebalance_seconds_ = 0;
  WidthRule rule_;
  std::vector<ElasticShard> shards_;
  ElasticReader reader_;
};

}  // namespace taut::embedding
