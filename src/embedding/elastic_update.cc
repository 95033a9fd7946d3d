// One optimizer step of many rows of a shard. Rows are asked for and found some rows before their
// turn. A row that is held and keeps its shape takes its step here, at its place; all others take
// it in elastic_shard.cc, and rows that were found in the pages which that changes are found again.
// So every row meets what it would have met had all taken their turns in ElasticShard::update().
#include <array>

#include "elastic_shard.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/elastic_update.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "page_kernels-inl.h"
#include "row_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {

constexpr std::size_t kAsked = 16;  // rows whose pages are on their way
constexpr std::size_t kFound = 8;   // rows whose values are

struct FoundRow {
  PageRow at;
  std::uint8_t* values;  // of a row that is held
  bool stale;            // its page has changed since
};

// Bytes of the shard that is updated, found by what reads any shard.
HWY_INLINE std::uint8_t* changeable(const std::uint8_t* bytes) {
  return const_cast<std::uint8_t*>(bytes);
}

// A row's numbers for rounding: the first for its importance, the others for its values.
struct Dice {
  HWY_INLINE void fill(std::uint64_t key, int numbers) {
    fill_words(key, (numbers + 3) / 4, words);
  }
  HWY_INLINE float first() const { return static_cast<float>(words[0] & 0xFFFF) * 0x1.0p-16f; }
  HWY_INLINE const std::uint16_t* others() const {
    return reinterpret_cast<const std::uint16_t*>(words) + 1;
  }

  HWY_ALIGN std::uint64_t words[words_for(kLongestRow + 1)];
};

// values -= rate * (gradient + l2 * values), from and to a page.
template <Storage kStorage>
HWY_INLINE void step_values(std::uint8_t* at, std::uint8_t& scale_code, int size, float rate,
                            float l2, const float* gradient, const std::uint16_t* dice) {
  descend<kStorage>(at, scale_code, size, rate, dice,
                    [&](auto d, auto lanes, auto held, int i) HWY_ATTR {
                      return hn::Add(lanes.load(d, gradient + i), hn::Mul(hn::Set(d, l2), held));
                    });
}

template <Storage kLow>
class RowUpdater {
 public:
  RowUpdater(ElasticShard& shard, const TouchedRows& rows, const StepContext& context,
             const PageLayout& layout)
      : shard_(shard),
        rows_(rows),
        context_(context),
        layout_(layout),
        shape_(layout),
        chunk_(layout.chunk),
        dim_(layout.dim()),
        random_base_(mix64(context.seed) + static_cast<std::uint64_t>(context.step)) {}

  HWY_ATTR void run() {
    const std::size_t count = rows_.keys.size();
    while (asked_count_ < std::min(count, kAsked)) ask();
    while (found_count_ < std::min(count, kFound)) find();
    for (std::size_t i = 0; i < count; ++i) {
      update(i);
      if (found_count_ < count) find();
      if (asked_count_ < count) ask();
    }
  }

 private:
  HWY_INLINE void ask() {
    shard_.ask(rows_.keys[asked_count_], asked_[asked_count_ % kAsked]);
    ++asked_count_;
  }

  HWY_INLINE void find_now(std::size_t i, FoundRow& found) const {
    found.at = find_in_pages(asked_[i % kAsked], shape_, rows_.keys[i]);
    found.stale = false;
    if (found.at.row < 0) return;
    found.values = changeable(values_in_page(found.at.page, shape_, found.at.row));
  }

  HWY_INLINE void find() {
    FoundRow& found = found_[found_count_ % kFound];
    find_now(found_count_, found);
    if (found.at.row >= 0) {
      const RowShape held = shape_of(found.at.page, found.at.row);
      prefetch_bytes(found.values, shape_.bytes_of(held));
      const int scales = rows_of(found.at.page) * PageLayout::kBytesBeforeScales;
      __builtin_prefetch(found.at.page + PageLayout::kHeaderBytes + scales + found.at.row);
    } else if (context_.sketch) {
      shard_.prefetch_sketch(rows_.keys[found_count_]);
    }
    ++found_count_;
  }

  HWY_INLINE void update(std::size_t i) {
    const std::uint64_t key = rows_.keys[i];
    const float* gradient = rows_.gradients.data() + i * static_cast<std::size_t>(dim_);
    const float q = sum_of_squares(gradient, dim_) / static_cast<float>(dim_) * context_.inflation;
    shard_.see(key);
    FoundRow& found = found_[i % kFound];
    if (found.stale) find_now(i, found);
    if (found.at.row < 0) {
      if (shard_.update_absent(key, q, gradient, context_)) pages_changed(i);
      return;
    }
    if (step_in_place(key, found, q, gradient)) return;
    shard_.update_held(key, Page(changeable(found.at.page), layout_), found.at.row, q, gradient,
                       context_);
    pages_changed(i);
  }

  // Rows that were found in the pages of row i are found again when their turn comes.
  HWY_INLINE void pages_changed(std::size_t i) {
    const KeyPages& changed = asked_[i % kAsked];
    for (std::size_t k = i + 1; k < found_count_; ++k) {
      FoundRow& found = found_[k % kFound];
      found.stale |= found.at.page == changed.pages[0] || found.at.page == changed.pages[1];
    }
  }

  // False, and nothing has happened, where the row wants another shape or has the last importance.
  HWY_INLINE bool step_in_place(std::uint64_t key, const FoundRow& found, float q,
                                const float* gradient) {
    const PageRow& at = found.at;
    std::uint8_t* page = changeable(at.page);
    const int rows = rows_of(page);
    std::uint8_t* shapes = page + PageLayout::kHeaderBytes + rows * PageLayout::kTagBytes;
    const auto bits = static_cast<std::uint16_t>(shapes[at.row] << 8 | shapes[rows + at.row]);
    const RowState held = RowState::unpack(bits);
    const int size = held.width * chunk_;
    const std::uint64_t random = mix64(random_base_ ^ mix64(key));
    dice_.fill(random, kLow == Storage::kFloat32 ? 1 : size + 1);
    const float importance = ImportanceCode::value(held.importance) + q;
    const int low = ImportanceCode::floor(importance);
    if (low + 1 >= ImportanceCode::kCodes) return false;
    const int code = ImportanceCode::round_up(low, importance, dice_.first());
    const RowState wanted = context_.rule->wanted(code, held);
    if (wanted.width != held.width || wanted.precise != held.precise) return false;
    const std::uint16_t state = wanted.pack();
    shapes[at.row] = static_cast<std::uint8_t>(state >> 8);
    shapes[rows + at.row] = static_cast<std::uint8_t>(state);
    const float rate = context_.optimizer->common_rate(importance / context_.inflation);
    const float l2 = context_.optimizer->l2();
    std::uint8_t* values = found.values;
    std::uint8_t none = 0;
    std::uint8_t& scale = is_scaled(kLow) ? shapes[2 * rows + at.row] : none;
    if constexpr (kLow == Storage::kInt8) {  // alone or mixed with 16 bits
      if (held.precise) {
        step_values<Storage::kInt16>(values, scale, size, rate, l2, gradient, dice_.others());
        return true;
      }
    }
    step_values<kLow>(values, scale, size, rate, l2, gradient, dice_.others());
    return true;
  }

  ElasticShard& shard_;
  const TouchedRows& rows_;
  const StepContext& context_;
  const PageLayout& layout_;
  const PageShape shape_;
  const int chunk_;
  const int dim_;
  const std::uint64_t random_base_;
  std::size_t asked_count_ = 0;
  std::size_t found_count_ = 0;
  std::array<KeyPages, kAsked> asked_;
  std::array<FoundRow, kFound> found_;
  Dice dice_;
};

void update_rows(ElasticShard& shard, const TouchedRows& rows, const StepContext& context,
                 const PageLayout& layout) {
  with_storage(layout.low, [&]<Storage kLow>()
                               HWY_ATTR { RowUpdater<kLow>(shard, rows, context, layout).run(); });
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {

HWY_EXPORT(update_rows);

void ElasticShard::update_rows(const TouchedRows& rows, const StepContext& context) {
  if (!layout_->has_state() && !has_pool()) {
    HWY_DYNAMIC_DISPATCH(update_rows)(*this, rows, context, *layout_);
    return;
  }
  constexpr std::size_t kPagesAhead = 16;  // rows whose pages are on their way
  constexpr std::size_t kRowsAhead = 8;    // rows whose values and shared chunks are
  const auto dim = static_cast<std::size_t>(layout_->dim());
  const std::size_t count = rows.keys.size();
  for (std::size_t i = 0; i < count; ++i) {
    KeyPages asked;
    if (i + kPagesAhead < count) ask(rows.keys[i + kPagesAhead], asked);
    if (i + kRowsAhead < count) prefetch_row(rows.keys[i + kRowsAhead], context);
    update(rows.keys[i], rows.gradients.data() + i * dim, context);
  }
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
