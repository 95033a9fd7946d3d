#include "elastic_form.h"

#include <algorithm>
#include <cstring>

#include "registry.h"
#include "taut/core/text.h"

namespace taut::embedding {
namespace {

struct FrozenHeader {
  std::int64_t tables = 0;
  std::int64_t shards = 0;
  std::int32_t page_bytes = 0;
  std::int32_t chunk = 0;
  std::int32_t chunks = 0;
  std::int32_t low = 0;
  std::int32_t high = 0;
  std::int32_t mixed = 0;
  std::int32_t exact = 0;
  float inflation = 0;  // 0: not kept, by earlier versions; then there was none or it is lost
};

// Bytes of a page's rows in a layout without the optimizer's state.
int bare_bytes(const PageView& page, const PageLayout& bare) {
  int bytes = PageLayout::kHeaderBytes;
  for (int row = 0, rows = page.rows(); row < rows; ++row) {
    bytes += bare.overhead_bytes() + bare.value_bytes(page.state(row));
  }
  return bytes;
}

// The layout of the read-only form: pages as small as the fullest one lets them be.
PageLayout frozen_layout(std::span<const ElasticShard> shards, const PageLayout& layout) {
  if (!layout.has_state()) return layout;
  PageLayout bare = layout.without_state();
  bare.page_bytes = bare.least_page_bytes();
  for (const ElasticShard& shard : shards) {
    for (std::int64_t i = 0; i < shard.sizes().pages; ++i) {
      bare.page_bytes = std::max(bare.page_bytes, bare_bytes(shard.page(i), bare));
    }
  }
  return bare;
}

// The same rows in the other layout, into bytes [to.page_bytes].
void copy_page(const PageView& from, const PageLayout& to, std::span<std::uint8_t> bytes) {
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
  Page page(bytes.data(), to);
  for (int row = 0, rows = from.rows(); row < rows; ++row) {
    const RowState state = from.state(row);
    page.append(from.tag(row), to.exact ? from.key(row) : 0, state);
    page.set_scale(row, from.scale(row));
    std::memcpy(page.values(row), from.values(row),
                static_cast<std::size_t>(to.value_bytes(state)));
  }
}

void write_shard(SectionSink& file, const std::string& name, const ElasticShard& shard,
                 const PageLayout& layout, const PageLayout& frozen) {
  ShardSizes sizes = shard.sizes();
  sizes.sketch_counters = 0;
  sizes.registers = 0;
  save_value(file, name + "/sizes", sizes);
  if (!layout.has_state()) {
    file.add_array(name, shard.bytes().first(
                             static_cast<std::size_t>(ElasticShard::total_bytes(sizes, layout))));
    return;
  }
  file.begin(name);
  std::vector<std::uint8_t> page(static_cast<std::size_t>(frozen.page_bytes));
  for (std::int64_t i = 0; i < sizes.pages; ++i) {
    copy_page(shard.page(i), frozen, page);
    file.append(page.data(), page.size());
  }
  const auto pool = static_cast<std::size_t>(sizes.pages * layout.page_bytes);
  const auto end = static_cast<std::size_t>(ElasticShard::total_bytes(sizes, layout));
  file.append(shard.bytes().data() + pool, end - pool);
}

class FrozenElastic final : public FrozenForm<ElasticReader> {
 public:
  FrozenElastic(const SectionSource& file, const std::string& prefix)
      : FrozenForm(file, prefix, {}) {
    const auto header = load_value<FrozenHeader>(file, prefix + "header");
    const auto check = [&](const char* field, std::int64_t value, std::int64_t low,
                           std::int64_t high) {
      check_number(file, prefix + "header", field, value, low, high);
    };
    constexpr auto kLastStorage = static_cast<std::int64_t>(Storage::kInt16);
    check("chunk", header.chunk, 2, kLongestRow);
    check("chunks", header.chunks, 1, 32);
    check_frozen_shape(file, prefix, header.tables, header.chunk * header.chunks, 0);
    check("shards", header.shards, 1, 4096);
    if ((header.shards & (header.shards - 1)) != 0) {
      throw_damaged(file, prefix + "header",
                    concat("says shards = ", header.shards, ", no power of 2"));
    }
    check("low", header.low, 0, kLastStorage);
    check("high", header.high, 0, kLastStorage);
    layout_ = {.page_bytes = header.page_bytes,
               .chunk = header.chunk,
               .chunks = header.chunks,
               .low = static_cast<Storage>(header.low),
               .high = static_cast<Storage>(header.high),
               .mixed = header.mixed != 0,
               .exact = header.exact != 0};
    check("page_bytes", header.page_bytes, layout_.least_page_bytes(), 65535);
    reader_.layout = &layout_;
    if (header.inflation >= 1) reader_.inflation = header.inflation;
    set_shape(header.tables, layout_.dim());
    for (std::size_t i = 0; i < static_cast<std::size_t>(header.shards); ++i) {
      const std::string name = shard_name(prefix, i);
      const auto sizes = load_value<ShardSizes>(file, name + "/sizes");
      const auto bytes = file.array<std::uint8_t>(name);
      check_shard(file, name, sizes, bytes, layout_);
      reader_.shards.emplace_back(bytes.data(), sizes, &layout_);
    }
  }

 private:
  PageLayout layout_;
};

}  // namespace

std::string shard_name(const std::string& prefix, std::size_t index) {
  return concat(prefix, "shard/", index);
}

void check_shard(const SectionSource& file, const std::string& name, const ShardSizes& sizes,
                 std::span<const std::uint8_t> bytes, const PageLayout& layout) {
  const auto within = [&](std::int64_t count) {
    return count >= 0 && count <= static_cast<std::int64_t>(bytes.size());
  };
  if (sizes.pages < 1 || !within(sizes.pages) || !within(sizes.pool_slots) ||
      !within(sizes.sketch_counters) || !within(sizes.registers) || sizes.granule_bits < 15 ||
      sizes.granule_bits > ShardSizes::bits_for(sizes.pages) ||
      ElasticShard::total_bytes(sizes, layout) > static_cast<std::int64_t>(bytes.size())) {
    throw_damaged(file, name + "/sizes",
                  concat("has sizes that do not fit its ", bytes.size(), " bytes: ", sizes.pages,
                         " pages of ", layout.page_bytes, ", ", sizes.pool_slots,
                         " slots of a pool, ", sizes.sketch_counters, " counters, ",
                         sizes.registers, " registers, ", sizes.granule_bits, " bits of granules"));
  }
  const ShardView shard(bytes.data(), sizes, &layout);
  // A tag that no id of this page has: its row would move out of the shard with the next resize.
  const auto stray = [&](std::int64_t page, std::uint16_t tag) {
    const std::uint64_t granule = shard.page_granule(page, sizes.pages, tag);
    return shard.candidates_of_granule(granule).page[0] != page;
  };
  for (std::int64_t i = 0; i < sizes.pages; ++i) {
    const PageView page = shard.page(i);
    bool whole = page.valid();
    for (int row = 0; whole && row < page.rows(); ++row) whole = !stray(i, page.tag(row));
    if (!whole) throw_damaged(file, name, concat("has a broken page ", i));
  }
}

void write_frozen_elastic(SectionSink& file, const std::string& prefix,
                          std::span<const ElasticShard> shards, const PageLayout& layout,
                          std::size_t tables, float inflation) {
  const PageLayout frozen = frozen_layout(shards, layout);
  save_value(file, prefix + "header",
             FrozenHeader{.tables = static_cast<std::int64_t>(tables),
                          .shards = static_cast<std::int64_t>(shards.size()),
                          .page_bytes = frozen.page_bytes,
                          .chunk = frozen.chunk,
                          .chunks = frozen.chunks,
                          .low = static_cast<std::int32_t>(frozen.low),
                          .high = static_cast<std::int32_t>(frozen.high),
                          .mixed = frozen.mixed ? 1 : 0,
                          .exact = frozen.exact ? 1 : 0,
                          .inflation = inflation});
  for (std::size_t i = 0; i < shards.size(); ++i) {
    write_shard(file, shard_name(prefix, i), shards[i], layout, frozen);
  }
}

std::unique_ptr<FrozenEmbedding> open_elastic(const SectionSource& file,
                                              const std::string& prefix) {
  return std::make_unique<FrozenElastic>(file, prefix);
}

}  // namespace taut::embedding
