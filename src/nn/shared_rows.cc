#include "nn/shared_rows.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/part.h"

namespace taut::nn {
namespace {

constexpr std::int64_t kPieceBytes = std::int64_t{4} << 20;  // of a state on its way

at::Tensor waited(const at::Tensor& moving) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("_c10d_functional::wait_tensor", "")
                             .typed<at::Tensor(const at::Tensor&)>();
  return op.call(moving);
}

// The values of all processes, in the order of their ranks.
at::Tensor gathered(const at::Tensor& values, const ProcessNames& processes) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("_c10d_functional::all_gather_into_tensor", "")
          .typed<at::Tensor(const at::Tensor&, std::int64_t, const c10::IValue&)>();
  const at::AutoDispatchBelowADInplaceOrView below_autograd;  // which would enter Python
  return waited(op.call(values, processes.share.of, processes.group));
}

// The values of one process on all of them.
at::Tensor spread(const at::Tensor& values, std::int64_t from, const ProcessNames& processes) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("_c10d_functional::broadcast", "")
          .typed<at::Tensor(const at::Tensor&, std::int64_t, const c10::IValue&)>();
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return waited(op.call(values, from, processes.group));
}

// How many bytes one process has; the others give any number.
std::int64_t size_at(std::int64_t bytes, std::int64_t from, const ProcessNames& processes) {
  const at::Tensor all = gathered(at::full({1}, bytes, at::kLong), processes);
  return all.const_data_ptr<std::int64_t>()[from];
}

class NamedPeers final : public embedding::Peers {
 public:
  explicit NamedPeers(ProcessNames processes) : processes_(std::move(processes)) {}

  [[nodiscard]] Share share() const noexcept override { return processes_.share; }

  void sum(std::span<double> values) override {
    const auto count = static_cast<std::int64_t>(values.size());
    const at::Tensor mine = at::empty({count}, at::kDouble);
    std::copy(values.begin(), values.end(), mine.mutable_data_ptr<double>());
    const at::Tensor all = gathered(mine, processes_);
    const double* theirs = all.const_data_ptr<double>();
    std::fill(values.begin(), values.end(), 0.0);
    for (std::int64_t rank = 0; rank < processes_.share.of; ++rank) {
      for (double& value : values) value += *theirs++;
    }
  }

  void append(SectionSink& file, std::int64_t owner, std::span<const std::byte> bytes) override {
    if (owner == 0) return file.append(bytes.data(), bytes.size());
    const bool first = processes_.share.index == 0;
    const bool mine = processes_.share.index == owner;
    const std::int64_t total = size_at(std::ssize(bytes), owner, processes_);
    for (std::int64_t done = 0; done < total; done += kPieceBytes) {
      const std::int64_t size = std::min(kPieceBytes, total - done);
      at::Tensor piece = at::empty({size}, at::kByte);
      if (mine) {
        std::copy_n(bytes.data() + done, size,
                    reinterpret_cast<std::byte*>(piece.mutable_data_ptr<std::uint8_t>()));
      }
      piece = spread(piece, owner, processes_);
      if (first) file.append(piece.const_data_ptr<std::uint8_t>(), static_cast<std::size_t>(size));
    }
  }

 private:
  ProcessNames processes_;
};

class SharedRows final : public embedding::Embedding {
 public:
  SharedRows(const embedding::Options& options, std::shared_ptr<ThreadPool> pool,
             const ProcessNames& processes)
      : Embedding(options, pool),
        here_(processes.share.index),
        part_(embedding::make_embedding_part(options, std::move(pool),
                                             std::make_shared<NamedPeers>(processes))) {
    options_ = part_.rows->options();
  }

  [[nodiscard]] std::int64_t steps() const noexcept override { return part_.rows->steps(); }
  [[nodiscard]] std::int64_t memory_bytes() const noexcept override {
    return part_.rows->memory_bytes();
  }
  [[nodiscard]] std::int64_t peak_memory_bytes() const noexcept override {
    return part_.rows->peak_memory_bytes();
  }
  [[nodiscard]] embedding::Statistics statistics() const override {
    return part_.rows->statistics();
  }
  void save(SectionSink& file, const std::string& prefix) const override {
    part_.rows->save(file, prefix);
  }
  void load(const SectionSource& file, const std::string& prefix) override {
    part_.rows->load(file, prefix);
  }
  void resize_budget(Bytes /*budget*/) override { refuse("change their budget"); }
  void export_frozen(SectionSink& /*file*/, const std::string& /*prefix*/) const override {
    refuse("be exported");
  }

 protected:
  void do_lookup(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<float> out) const override {
    part_.rows->lookup(Own(tables, part_.owner, here_).views(), batch, out);
  }
  void do_update(std::span<const JaggedIds> tables, std::int64_t batch,
                 std::span<const float> gradient) override {
    part_.rows->update(Own(tables, part_.owner, here_).views(), batch, gradient);
  }
  // The part sees the same gradient, and counts.
  bool leaves_out(bool /*bad*/) override { return false; }
  void do_read_rows(std::size_t /*table*/, std::span<const std::uint64_t> /*ids*/,
                    embedding::Rows& /*rows*/) const override {
    refuse("be read row by row");
  }
  embedding::LoadedRows do_load_rows(const embedding::Rows& /*rows*/) override {
    refuse("take rows in");
  }
  void take_learning_rate() override { part_.rows->set_learning_rate(learning_rate()); }

 private:
  using Owner = std::function<std::int64_t(std::size_t table, std::uint64_t id)>;

  // The ids of a batch whose rows lie here.
  class Own {
   public:
    Own(std::span<const JaggedIds> tables, const Owner& owner, std::int64_t here)
        : kept_(tables.size()) {
      for (std::size_t t = 0; t < tables.size(); ++t) {
        Kept& kept = kept_[t];
        const JaggedIds& bags = tables[t];
        kept.offsets.reserve(bags.offsets.size());
        kept.offsets.push_back(0);
        for (std::size_t bag = 0; bag + 1 < bags.offsets.size(); ++bag) {
          const auto end = static_cast<std::size_t>(bags.offsets[bag + 1]);
          for (auto i = static_cast<std::size_t>(bags.offsets[bag]); i < end; ++i) {
            if (owner(t, bags.ids[i]) != here) continue;
            kept.ids.push_back(bags.ids[i]);
            if (!bags.weights.empty()) kept.weights.push_back(bags.weights[i]);
          }
          kept.offsets.push_back(std::ssize(kept.ids));
        }
        views_.push_back({.ids = kept.ids, .offsets = kept.offsets, .weights = kept.weights});
      }
    }
    [[nodiscard]] std::span<const JaggedIds> views() const noexcept { return views_; }

   private:
    struct Kept {
      std::vector<std::uint64_t> ids;
      std::vector<std::int64_t> offsets;
      std::vector<float> weights;
    };
    std::vector<Kept> kept_;
    std::vector<JaggedIds> views_;
  };

  [[noreturn]] static void refuse(std::string_view what) {
    throw Error(ErrorKind::kUnsupported,
                concat("tables whose rows several processes share cannot ", what), {},
                "let a module of one process do it, with the state of these");
  }

  std::int64_t here_;
  embedding::EmbeddingPart part_;
};

}  // namespace

std::unique_ptr<embedding::Embedding> make_shared_rows(const embedding::Options& options,
                                                       std::shared_ptr<ThreadPool> pool,
                                                       const ProcessNames& processes) {
  const auto [index, of] = processes.share;
  if (of < 1 || index < 0 || index >= of) {
    throw_invalid_argument("share", "of one process or more, from 0", concat(index, " of ", of));
  }
  return std::make_unique<SharedRows>(options, std::move(pool), processes);
}

at::Tensor from_first(const at::Tensor& bytes, const ProcessNames& processes) {
  const std::int64_t size = size_at(bytes.numel(), 0, processes);
  return spread(processes.share.index == 0 ? bytes : at::empty({size}, at::kByte), 0, processes);
}

}  // namespace taut::nn
