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

// A row's numbers for rounding: the first for its importance, the others for what the optimizer
// keeps of the row and of its values, and for these.
struct Dice {
  HWY_INLINE void fill(std::uint64_t key, int numbers) {
    fill_words(key, (numbers + 3) / 4, words);
  }
  HWY_INLINE float first() const { return static_cast<float>(words[0] & 0xFFFF) * 0x1.0p-16f; }
  HWY_INLINE const std::uint16_t* others() const {
    return reinterpret_cast<const std::uint16_t*>(words) + 1;
  }

  HWY_ALIGN std::uint64_t words[words_for(2 * kLongestRow + 2)];
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

// What a row has beside its values where the optimizer keeps more than the importance.
struct OptimizerState {
  std::uint8_t* row;     // Adam's second moment
  std::uint8_t* values;  // Adagrad's sums or Adam's momenta
};

// The same where the optimizer keeps something for each value.
template <Storage kStorage>
HWY_INLINE void step_values_with_state(std::uint8_t* at, std::uint8_t& scale_code, int size,
                                       const OptimizerState& state, const RowOptimizer& optimizer,
                                       const AdamCorrections& corrections, float mean_square,
                                       const float* gradient, const std::uint16_t* dice) {
  constexpr Storage kState = PageLayout::kState;
  const float l2 = optimizer.l2();
  const auto slope = [&](auto d, auto lanes, auto held, int i) HWY_ATTR
      __attribute__((always_inline)) {
        const auto given = lanes.load(d, gradient + i);
        return l2 > 0 ? hn::Add(given, hn::Mul(hn::Set(d, l2), held)) : given;
      };
  if (optimizer.kind() == Optimizer::kAdagrad) {
    descend<kStorage>(at, scale_code, size, 1.0f, dice + size,
                      [&](auto d, auto lanes, auto held, int i) HWY_ATTR {
                        const auto g = slope(d, lanes, held, i);
                        const auto old = decode<kState>(d, lanes, state.values, 0.0f, i);
                        const auto sum = hn::Add(old, hn::Mul(g, g));
                        encode<kState>(d, lanes, sum, 0.0f, dice, state.values, i);
                        const auto from = hn::Add(sum, hn::Set(d, optimizer.initial_accumulator()));
                        const auto divisor =
                            hn::Add(hn::Sqrt(from), hn::Set(d, optimizer.epsilon()));
                        return hn::Mul(hn::Div(hn::Set(d, optimizer.learning_rate()), divisor), g);
                      });
    return;
  }
  const hn::CappedTag<float, 1> one;
  float second = hn::GetLane(decode<kState>(one, Whole(), state.row, 0.0f, 0));
  const float rate = optimizer.adam_rate(second, mean_square, corrections);
  encode<kState>(one, Whole(), hn::Set(one, second), 0.0f, dice, state.row, 0);
  ++dice;
  const float beta = optimizer.adam_beta1();
  descend<kStorage>(
      at, scale_code, size, rate, dice + size, [&](auto d, auto lanes, auto held, int i) HWY_ATTR {
        const auto g = slope(d, lanes, held, i);
        const auto old = decode<kState>(d, lanes, state.values, 0.0f, i);
        const auto momentum =
            hn::Add(hn::Mul(hn::Set(d, beta), old), hn::Mul(hn::Set(d, 1.0f - beta), g));
        encode<kState>(d, lanes, momentum, 0.0f, dice, state.values, i);
        return momentum;
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
        random_base_(mix64(context.seed) + static_cast<std::uint64_t>(context.step)),
        corrections_(context.optimizer->adam_corrections(context.step)) {}

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
      if (layout_.row_state) __builtin_prefetch(row_state_of(found.at));
      shard_.prefetch_slots(rows_.keys[found_count_], held.width);
    } else {
      if (context_.sketch) shard_.prefetch_sketch(rows_.keys[found_count_]);
      shard_.prefetch_slots(rows_.keys[found_count_], 0);
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

  HWY_INLINE std::uint8_t* row_state_of(const PageRow& at) const {
    return changeable(at.page) + PageLayout::kHeaderBytes +
           rows_of(at.page) * layout_.bytes_before(PageLayout::kRowStates) +
           at.row * PageLayout::kStateBytes;
  }

  // The step of a row's values, after its importance.
  template <Storage kStorage>
  HWY_INLINE void step_row(const FoundRow& found, std::uint8_t& scale, int size, float importance,
                           float q, const float* gradient) {
    const RowOptimizer& optimizer = *context_.optimizer;
    if (layout_.value_state) {
      const OptimizerState state = {.row = row_state_of(found.at),
                                    .values = found.values + size * bytes_per_value(kStorage)};
      step_values_with_state<kStorage>(found.values, scale, size, state, optimizer, corrections_,
                                       q / context_.inflation, gradient, dice_.others());
      return;
    }
    const float rate = optimizer.common_rate(importance / context_.inflation);
    step_values<kStorage>(found.values, scale, size, rate, optimizer.l2(), gradient,
                          dice_.others());
  }

  // False, and nothing has happened, where the row wants another shape, has the last importance, or
  // reads shared chunks, which take the step with it.
  HWY_INLINE bool step_in_place(std::uint64_t key, const FoundRow& found, float q,
                                const float* gradient) {
    const PageRow& at = found.at;
    std::uint8_t* page = changeable(at.page);
    const int rows = rows_of(page);
    std::uint8_t* shapes = page + PageLayout::kHeaderBytes + rows * PageLayout::kTagBytes;
    const auto bits = static_cast<std::uint16_t>(shapes[at.row] << 8 | shapes[rows + at.row]);
    const RowState held = RowState::unpack(bits);
    if (shard_.has_pool() && held.width < layout_.chunks) return false;
    const int size = held.width * chunk_;
    const std::uint64_t random = mix64(random_base_ ^ mix64(key));
    dice_.fill(random, 1 + (layout_.row_state ? 1 : 0) + (layout_.value_state ? size : 0) +
                           (kLow == Storage::kFloat32 ? 0 : size));
    const float importance = ImportanceCode::value(held.importance) + q;
    const int low = ImportanceCode::floor(importance);
    if (low + 1 >= ImportanceCode::kCodes) return false;
    const int code = ImportanceCode::round_up(low, importance, dice_.first());
    const RowState wanted = context_.rule->wanted(code, held);
    if (wanted.width != held.width || wanted.precise != held.precise) return false;
    const std::uint16_t state = wanted.pack();
    shapes[at.row] = static_cast<std::uint8_t>(state >> 8);
    shapes[rows + at.row] = static_cast<std::uint8_t>(state);
    std::uint8_t none = 0;
    std::uint8_t& scale = is_scaled(kLow) ? shapes[2 * rows + at.row] : none;
    if constexpr (kLow == Storage::kInt8) {  // alone or mixed with 16 bits
      if (held.precise) {
        step_row<Storage::kInt16>(found, scale, size, importance, q, gradient);
        return true;
      }
    }
    step_row<kLow>(found, scale, size, importance, q, gradient);
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
  const AdamCorrections corrections_;
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
  HWY_DYNAMIC_DISPATCH(update_rows)(*this, rows, context, *layout_);
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
