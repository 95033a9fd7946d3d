#include "taut/data/reader.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "prefetch.h"
#include "rows.h"
#include "shuffle.h"
#include "source.h"
#include "taut/core/error.h"
#include "taut/core/random.h"
#include "taut/core/text.h"

namespace taut::data {
namespace {

constexpr std::size_t kBatchesAhead = 8;

// A batch and the bad rows met on the way to it.
struct Item {
  Batch batch;
  std::shared_ptr<const BadRows> bad;
};

// Cuts the stream of blocks into batches, through the shuffle buffer if there is one.
class BatchCutter {
 public:
  BatchCutter(const ReaderOptions& options, std::function<bool(Rows&)> read)
      : schema_(options.schema),
        batch_size_(options.batch_size),
        files_(options.files),
        read_(std::move(read)),
        buffer_(options.shuffle_rows, CounterRandom(options.seed)
                                          .with(0x73687566)
                                          .with(static_cast<std::uint64_t>(options.epoch))),
        shuffles_(options.shuffle_rows > 0) {
    out_.reset(schema_);
    block_.reset(schema_);
  }

  bool next(Item& item) {
    out_.reset(schema_);
    if (!shuffles_ && at_ == block_.size && !ended_) refill();
    if (!shuffles_ && block_.size - at_ >= batch_size_) {  // the usual case: from the block itself
      to_batch(block_, at_, batch_size_, item.batch);
      at_ += batch_size_;
      given_rows_ += batch_size_;
      item.bad = bad_;
      return true;
    }
    while (out_.size < batch_size_ && step()) {
    }
    item.bad = bad_;
    if (out_.size == 0) {
      if (given_rows_ == 0) throw_no_rows();
      return false;
    }
    given_rows_ += out_.size;
    to_batch(out_, 0, out_.size, item.batch);
    return true;
  }

  /// All bad rows; after next() has returned false.
  [[nodiscard]] const std::shared_ptr<const BadRows>& bad() const noexcept { return bad_; }

 private:
  // Moves some rows on; false when there are no more.
  bool step() {
    const std::int64_t wanted = batch_size_ - out_.size;
    if (at_ == block_.size && !ended_) return refill();
    const std::int64_t have = block_.size - at_;
    if (!shuffles_) {
      if (have == 0) return false;
      return advance(std::min(wanted, have),
                     [&](std::int64_t count) { append_rows(block_, at_, count, out_); });
    }
    if (have > 0 && buffer_.room() > 0) {
      return advance(std::min(have, buffer_.room()),
                     [&](std::int64_t count) { buffer_.fill(block_, at_, count); });
    }
    if (have > 0) {
      return advance(std::min(wanted, have),
                     [&](std::int64_t count) { buffer_.exchange(block_, at_, count, out_); });
    }
    if (buffer_.size() == 0) return false;
    buffer_.drain(std::min(wanted, buffer_.size()), out_);
    return true;
  }

  template <typename Fn>
  bool advance(std::int64_t count, Fn&& fn) {
    fn(count);
    at_ += count;
    return true;
  }

  bool refill() {
    at_ = 0;
    if (read_(block_)) {
      bad_ = block_.bad;
    } else {
      block_.reset(schema_);
      ended_ = true;
    }
    return true;
  }

  [[noreturn]] void throw_no_rows() const {
    const std::string where = files_.size() == 1 ? files_[0] : concat(files_[0], " ...");
    if (bad_ == nullptr) throw Error(ErrorKind::kData, "no rows", where);
    throw Error(ErrorKind::kData, concat("all ", bad_->count, " rows are bad"), where,
                bad_->first.front());
  }

  Schema schema_;
  std::int64_t batch_size_;
  std::vector<std::string> files_;
  std::function<bool(Rows&)> read_;
  ShuffleBuffer buffer_;
  bool shuffles_;
  Rows block_;
  std::int64_t at_ = 0;  // next row of the block
  bool ended_ = false;
  Rows out_;
  std::int64_t given_rows_ = 0;
  std::shared_ptr<const BadRows> bad_;
};

}  // namespace

struct BatchReader::Impl {
  explicit Impl(const ReaderOptions& options)
      : Impl(options, source_options(options, /*raw_dense=*/false)) {}

  Impl(const ReaderOptions& options, const SourceOptions& found)
      : source(open_source(found)), files(found.files), cutter(options, [this](Rows& rows) {
          return blocks ? blocks->next(rows) : source->read(rows);
        }) {
    if (!options.prefetch) return;
    blocks = std::make_unique<Prefetcher<Rows>>(source->blocks_ahead(),
                                                [this](Rows& rows) { return source->read(rows); });
    batches = std::make_unique<Prefetcher<Item>>(
        kBatchesAhead, [this](Item& next_item) { return cutter.next(next_item); });
  }

  bool next(Batch& batch) {
    if (error) std::rethrow_exception(error);
    if (ended) return false;
    std::swap(item.batch, batch);
    try {
      ended = batches ? !batches->next(item) : !cutter.next(item);
    } catch (...) {
      error = std::current_exception();
      throw;
    }
    std::swap(item.batch, batch);
    if (ended) item.bad = cutter.bad();
    return !ended;
  }

  std::unique_ptr<RowSource> source;
  std::vector<InputFile> files;
  std::unique_ptr<Prefetcher<Rows>> blocks;  // null without prefetch
  BatchCutter cutter;
  std::unique_ptr<Prefetcher<Item>> batches;  // null without prefetch; destroyed first
  Item item;
  bool ended = false;
  std::exception_ptr error;
};

BatchReader::BatchReader(const ReaderOptions& options) : impl_(std::make_unique<Impl>(options)) {}

BatchReader::~BatchReader() = default;

bool BatchReader::next(Batch& batch) {
  return impl_->next(batch);
}

void BatchReader::skip(std::int64_t batches) {
  Batch scratch;
  for (std::int64_t i = 0; i < batches && impl_->next(scratch); ++i) {
  }
}

std::int64_t BatchReader::known_rows() const noexcept {
  return impl_->source->known_rows();
}

BadRows BatchReader::bad_rows() const {
  return impl_->item.bad ? *impl_->item.bad : BadRows{};
}

std::string BatchReader::row_name(std::uint64_t origin) const {
  const std::uint64_t row = origin & ((std::uint64_t{1} << kRowBits) - 1);
  return concat(impl_->files.at(origin >> kRowBits).path, ", row ", row);
}

}  // namespace taut::data
