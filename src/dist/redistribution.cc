#include "taut/dist/redistribution.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <tuple>

#include "taut/core/text.h"
#include "taut/parallel/volume.h"

namespace taut::dist {
namespace {

using parallel::Held;

int level_bit(int number, int level, int levels) {
  return (number >> (levels - 1 - level)) & 1;
}

// The chunks of one dimension, of which `split` levels pin a bit.
std::vector<int> pinned_chunks(const Layout& layout, int worker, Held split) {
  const auto levels = static_cast<int>(layout.size());
  std::vector<int> chunks;
  for (int chunk = 0; chunk < 1 << levels; ++chunk) {
    bool held = true;
    for (int level = 0; level < levels; ++level) {
      held = held && (layout[static_cast<std::size_t>(level)] != split ||
                      level_bit(chunk, level, levels) == level_bit(worker, level, levels));
    }
    if (held) chunks.push_back(chunk);
  }
  return chunks;
}

std::vector<int> common(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

HeldChunks common(const HeldChunks& a, const HeldChunks& b) {
  return {.samples = common(a.samples, b.samples), .channels = common(a.channels, b.channels)};
}

// Places of a dimension in a piece: runs of them that lie together, of chunks that are `wanted` of
// those that are held.
struct Run {
  std::int64_t begin = 0;
  std::int64_t size = 0;
};

std::vector<Run> runs_of(std::int64_t places, int levels, const std::vector<int>& held,
                         const std::vector<int>& wanted) {
  std::vector<Run> runs;
  std::int64_t at = 0;
  for (const int chunk : held) {
    const std::int64_t size =
        share_of(places, 1, {.index = chunk, .of = std::int64_t{1} << levels}).size;
    if (std::binary_search(wanted.begin(), wanted.end(), chunk)) {
      if (!runs.empty() && runs.back().begin + runs.back().size == at) {
        runs.back().size += size;
      } else {
        runs.push_back({.begin = at, .size = size});
      }
    }
    at += size;
  }
  return runs;
}

std::int64_t length(const std::vector<Run>& runs) {
  std::int64_t sum = 0;
  for (const Run& run : runs) sum += run.size;
  return sum;
}

// The places of `part`, a product of chunks, inside what lies as `held`.
struct Window {
  Window(const TensorShape& shape, int levels, const HeldChunks& held, const HeldChunks& part)
      : samples(runs_of(shape.samples, levels, held.samples, part.samples)),
        channels(runs_of(shape.channels, levels, held.channels, part.channels)),
        inner(shape.inner),
        row(length(runs_of(shape.channels, levels, held.channels, held.channels)) * shape.inner) {}

  [[nodiscard]] std::int64_t values() const { return length(samples) * length(channels) * inner; }

  // Calls body(place in the piece, place in the window, values) for runs that lie together.
  template <typename Body>
  void each(Body&& body) const {
    std::int64_t at = 0;
    for (const Run& rows : samples) {
      for (std::int64_t r = rows.begin; r < rows.begin + rows.size; ++r) {
        for (const Run& columns : channels) {
          const std::int64_t size = columns.size * inner;
          body(r * row + columns.begin * inner, at, size);
          at += size;
        }
      }
    }
  }

  std::vector<Run> samples;
  std::vector<Run> channels;
  std::int64_t inner;
  std::int64_t row;  // values between two samples of the piece
};

void append(const std::vector<float>& piece, const Window& window, std::vector<float>& to) {
  const std::size_t start = to.size();
  to.resize(start + static_cast<std::size_t>(window.values()));
  window.each([&](std::int64_t from, std::int64_t at, std::int64_t size) {
    std::copy_n(piece.data() + from, size, to.data() + start + at);
  });
}

void put(const float* values, const Window& window, std::span<float> piece) {
  window.each([&](std::int64_t place, std::int64_t at, std::int64_t size) {
    std::copy_n(values + at, size, piece.data() + place);
  });
}

std::vector<float> exchanged(ProcessGroup& group, const std::vector<float>& send,
                             const std::vector<std::int64_t>& send_words,
                             const std::vector<std::int64_t>& receive_words, Cause cause) {
  const auto bytes = [](std::vector<std::int64_t> words) {
    for (std::int64_t& one : words) one *= static_cast<std::int64_t>(sizeof(float));
    return words;
  };
  std::int64_t all = 0;
  for (const std::int64_t words : receive_words) all += words;
  std::vector<float> received(static_cast<std::size_t>(all));
  group.all_to_all(std::as_bytes(std::span(send)), bytes(send_words),
                   std::as_writable_bytes(std::span(received)), bytes(receive_words), cause);
  return received;
}

}  // namespace

HeldChunks chunks_of(const Layout& layout, int worker) {
  return {.samples = pinned_chunks(layout, worker, Held::kBatch),
          .channels = pinned_chunks(layout, worker, Held::kChannel)};
}

TensorShape held_shape(const TensorShape& whole, const Layout& layout, int worker) {
  const HeldChunks held = chunks_of(layout, worker);
  const auto levels = static_cast<int>(layout.size());
  return {.samples = length(runs_of(whole.samples, levels, held.samples, held.samples)),
          .channels = length(runs_of(whole.channels, levels, held.channels, held.channels)),
          .inner = whole.inner};
}

std::vector<float> take_held(std::span<const float> whole, const TensorShape& shape,
                             const Layout& layout, int worker) {
  const auto levels = static_cast<int>(layout.size());
  const HeldChunks all = chunks_of(Layout(layout.size(), Held::kWhole), worker);
  std::vector<float> taken;
  append({whole.begin(), whole.end()}, Window(shape, levels, all, chunks_of(layout, worker)),
         taken);
  return taken;
}

void put_held(std::span<const float> held, const TensorShape& shape, const Layout& layout,
              int worker, std::span<float> whole) {
  const auto levels = static_cast<int>(layout.size());
  const HeldChunks all = chunks_of(Layout(layout.size(), Held::kWhole), worker);
  const Window window(shape, levels, all, chunks_of(layout, worker));
  if (window.values() != std::ssize(held) || shape.values() != std::ssize(whole)) {
    throw_invalid_argument("sizes of held and whole",
                           concat(window.values(), " and ", shape.values()),
                           concat(held.size(), " and ", whole.size()));
  }
  put(held.data(), window, whole);
}

// What this worker has on the way from one layout to another.
struct WorkerArray::Piece {
  TensorShape shape;  // of the whole tensor
  Layout layout;
  std::vector<float> values;

  [[nodiscard]] Window window(int worker, const HeldChunks& part) const {
    return {shape, static_cast<int>(layout.size()), chunks_of(layout, worker), part};
  }
  // The same tensor under another layout, without values yet.
  [[nodiscard]] Piece empty(const Layout& other, int worker) const {
    const TensorShape held = held_shape(shape, other, worker);
    return {.shape = shape,
            .layout = other,
            .values = std::vector<float>(static_cast<std::size_t>(held.values()))};
  }
};

WorkerArray::WorkerArray(std::shared_ptr<ProcessGroup> group) : group_(std::move(group)) {
  const auto workers = static_cast<unsigned>(group_->size());
  if (!std::has_single_bit(workers) || workers > 1u << parallel::kMaxLevels) {
    throw Error(ErrorKind::kConfig, concat("an array has 2, 4, 8, ... workers, got ", workers), {},
                "start another number of workers");
  }
  levels_ = std::countr_zero(workers);
  words_.resize(static_cast<std::size_t>(levels_));
  for (int level = 0; level < levels_; ++level) static_cast<void>(pair(level));
}

ProcessGroup& WorkerArray::across(const std::vector<int>& levels) {
  std::shared_ptr<ProcessGroup>& made = across_[levels];
  if (made != nullptr) return *made;
  int free = 0;  // bits of the chosen levels
  for (const int level : levels) free |= 1 << (levels_ - 1 - level);
  std::vector<int> ranks;
  for (int place = 0; place < group_->size(); ++place) {
    if (((place ^ group_->rank()) & ~free) != 0) continue;
    ranks.push_back(group_->ranks()[static_cast<std::size_t>(place)]);
  }
  made = group_->subgroup(ranks);
  return *made;
}

int WorkerArray::partner(int level) const noexcept {
  return group_->rank() ^ (1 << (levels_ - 1 - level));
}

void WorkerArray::reduce_scatter(Piece& piece, int level, Held keep, Cause cause) {
  const int own = group_->rank();
  const int other = partner(level);
  Layout layout = piece.layout;
  layout[static_cast<std::size_t>(level)] = keep;
  Piece kept = piece.empty(layout, own);
  std::vector<float> send;
  append(piece.values, piece.window(own, chunks_of(layout, other)), send);
  const auto sent = static_cast<std::int64_t>(send.size());
  const auto mine = static_cast<std::int64_t>(kept.values.size());
  const bool first = own < other;
  const std::vector<float> theirs = exchanged(
      pair(level), send,
      first ? std::vector<std::int64_t>{0, sent} : std::vector<std::int64_t>{sent, 0},
      first ? std::vector<std::int64_t>{0, mine} : std::vector<std::int64_t>{mine, 0}, cause);
  std::vector<float> ours;
  append(piece.values, piece.window(own, chunks_of(layout, own)), ours);
  const std::vector<float>& lower = first ? ours : theirs;
  const std::vector<float>& upper = first ? theirs : ours;
  for (std::size_t i = 0; i < kept.values.size(); ++i) kept.values[i] = lower[i] + upper[i];
  words_[static_cast<std::size_t>(level)] += sent;
  piece = std::move(kept);
}

// Every level splits one dimension before and after, so each chunk has one worker that has it and
// one that wants it.
void WorkerArray::change(Piece& piece, const Layout& wanted, Cause cause) {
  if (piece.layout == wanted) return;
  const int own = group_->rank();
  Piece changed = piece.empty(wanted, own);
  const HeldChunks have = chunks_of(piece.layout, own);
  const HeldChunks want = chunks_of(wanted, own);
  std::vector<float> send;
  std::vector<std::int64_t> to;
  std::vector<std::int64_t> from;
  std::vector<Window> windows;
  for (int worker = 0; worker < group_->size(); ++worker) {
    const Window out = piece.window(own, common(have, chunks_of(wanted, worker)));
    append(piece.values, out, send);
    to.push_back(out.values());
    windows.push_back(changed.window(own, common(want, chunks_of(piece.layout, worker))));
    from.push_back(windows.back().values());
    if (worker == own) continue;
    const auto apart = static_cast<unsigned>(own ^ worker);
    words_[static_cast<std::size_t>(levels_ - std::bit_width(apart))] += to.back();
  }
  const std::vector<float> received = exchanged(*group_, send, to, from, cause);
  const float* next = received.data();
  for (std::size_t worker = 0; worker < windows.size(); ++worker) {
    put(next, windows[worker], changed.values);
    next += from[worker];
  }
  piece = std::move(changed);
}

void WorkerArray::all_gather(Piece& piece, int level, Cause cause) {
  const int own = group_->rank();
  const int other = partner(level);
  Layout layout = piece.layout;
  layout[static_cast<std::size_t>(level)] = Held::kWhole;
  Piece whole = piece.empty(layout, own);
  const auto sent = static_cast<std::int64_t>(piece.values.size());
  const auto got = held_shape(piece.shape, piece.layout, other).values();
  const bool first = own < other;
  const std::vector<float> theirs = exchanged(
      pair(level), piece.values,
      first ? std::vector<std::int64_t>{0, sent} : std::vector<std::int64_t>{sent, 0},
      first ? std::vector<std::int64_t>{0, got} : std::vector<std::int64_t>{got, 0}, cause);
  put(piece.values.data(), whole.window(own, chunks_of(piece.layout, own)), whole.values);
  put(theirs.data(), whole.window(own, chunks_of(piece.layout, other)), whole.values);
  words_[static_cast<std::size_t>(level)] += sent;
  piece = std::move(whole);
}

std::vector<float> WorkerArray::move(std::span<const float> held, const TensorShape& shape,
                                     const Layout& made, const Layout& wanted, Cause cause) {
  for (const auto& [name, layout, never] :
       {std::tuple("made", &made, Held::kWhole), std::tuple("wanted", &wanted, Held::kPartial)}) {
    if (static_cast<int>(layout->size()) != levels_) {
      throw_invalid_argument(name, concat("of ", levels_, " levels"), concat(layout->size()));
    }
    if (std::find(layout->begin(), layout->end(), never) != layout->end()) {
      throw_invalid_argument(name, "batch, channel, and partial sums made or the whole wanted",
                             "the other");
    }
  }
  const std::int64_t size = held_shape(shape, made, group_->rank()).values();
  if (size != static_cast<std::int64_t>(held.size())) {
    throw_invalid_argument("size of held", concat(size), concat(held.size()));
  }
  Piece piece{.shape = shape, .layout = made, .values = {held.begin(), held.end()}};
  for (int level = levels_ - 1; level >= 0; --level) {
    const Held want = wanted[static_cast<std::size_t>(level)];
    if (made[static_cast<std::size_t>(level)] != Held::kPartial) continue;
    reduce_scatter(piece, level, parallel::summed(Held::kPartial, want), cause);
  }
  Layout split = piece.layout;
  for (std::size_t level = 0; level < split.size(); ++level) {
    if (wanted[level] != Held::kWhole) split[level] = wanted[level];
  }
  change(piece, split, cause);
  for (int level = 0; level < levels_; ++level) {
    if (wanted[static_cast<std::size_t>(level)] == Held::kWhole) all_gather(piece, level, cause);
  }
  return std::move(piece.values);
}

}  // namespace taut::dist
