#include "nn/products.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>

#include <algorithm>

#include "taut/core/error.h"
#include "taut/core/spelling.h"
#include "taut/core/text.h"
#include "taut/nn/recommender.h"

namespace taut::nn {
namespace {

using at::Tensor;

// aten has no function for a plain fp32 product by oneDNN: this is the operator that compiled
// models call.
Tensor onednn_product(const Tensor& a, const Tensor& b_turned) {
  using Signature =
      Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, std::string_view,
             c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto product = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                  .typed<Signature>();
  return product.call(a, b_turned, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(),
                      "");
}

// Processors of other makers than Intel, which MKL keeps on AVX2.
bool is_kept_back() {
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  return __builtin_cpu_is("intel") == 0;
#else
  return false;
#endif
}

// As an option has it.
enum class WantedProducts { kAuto, kBlas, kOneDnn };
constexpr auto spellings(std::type_identity<WantedProducts>) {
  return std::to_array<Spelling<WantedProducts>>({{"auto", WantedProducts::kAuto},
                                                  {"blas", WantedProducts::kBlas},
                                                  {"onednn", WantedProducts::kOneDnn}});
}

}  // namespace

Products products_of(std::string_view name) {
  constexpr std::string_view kKey = "train.products";
  const bool has_onednn = at::globalContext().hasMKLDNN();
  const auto wanted = parse_spelling<WantedProducts>(name, ErrorKind::kConfig, "products", kKey);
  if (wanted == WantedProducts::kBlas) return Products::kBlas;
  if (wanted == WantedProducts::kOneDnn) {
    if (has_onednn) return Products::kOneDnn;
    throw Error(ErrorKind::kUnsupported, "this build of LibTorch has no oneDNN", kKey,
                "write auto or blas");
  }
  const bool better = has_onednn && at::globalContext().hasMKL() && is_kept_back();
  return better ? Products::kOneDnn : Products::kBlas;
}

bool has_bf16_products() {
  if (!at::globalContext().hasMKLDNN()) return false;
  const auto capabilities = at::cpu::get_cpu_capabilities();
  const auto has = [&](const char* name) {
    const auto found = capabilities.find(name);
    return found != capabilities.end() && found->second.isBool() && found->second.toBool();
  };
  return has("avx512_bf16") || has("amx_bf16");
}

void multiply(Products products, const Tensor& a, const Tensor& b, Tensor out) {
  // Below this oneDNN's set-up costs more than its kernels win.
  constexpr std::int64_t kLeastSide = 64;
  const bool large = std::min({a.size(0), a.size(1), b.size(1)}) >= kLeastSide;
  if (products == Products::kOneDnn && a.scalar_type() == at::kFloat && large) {
    out.copy_(onednn_product(a.contiguous(), b.t()));
  } else {
    at::mm_out(out, a, b);
  }
}

}  // namespace taut::nn
