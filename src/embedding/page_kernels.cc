#include "page_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "embedding/page_kernels.cc"
#include <hwy/foreach_target.h>
// Must come after foreach_target.h.
#include <hwy/highway.h>

#include "page_kernels-inl.h"

HWY_BEFORE_NAMESPACE();
namespace taut::embedding::HWY_NAMESPACE {
int find_tag(const std::uint8_t* tags, int count, int first, std::uint16_t tag) {
  return first_tag(tags, count, first, tag);
}

int sum_value_bytes(const std::uint8_t* shapes, int rows, int chunk_bytes,
                    int precise_chunk_bytes) {
  return value_bytes_of(shapes, rows, chunk_bytes, precise_chunk_bytes);
}

}  // namespace taut::embedding::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taut::embedding {

HWY_EXPORT(find_tag);
HWY_EXPORT(sum_value_bytes);

int find_tag(const std::uint8_t* tags, int count, int first, std::uint16_t tag) noexcept {
  return HWY_DYNAMIC_DISPATCH(find_tag)(tags, count, first, tag);
}

int sum_value_bytes(const std::uint8_t* shapes, int rows, int chunk_bytes,
                    int precise_chunk_bytes) noexcept {
  return HWY_DYNAMIC_DISPATCH(sum_value_bytes)(shapes, rows, chunk_bytes, precise_chunk_bytes);
}

}  // namespace taut::embedding
#endif  // HWY_ONCE
