// The operators that Python sees (torch.ops.taut.*), their autograd, and the C++ module over them.
#include <torch/library.h>
#include <torch/torch.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "nn/table_options.h"
#include "nn/table_registry.h"
#include "nn/translated.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/nn/embedding_tables.h"

namespace taut::nn {
namespace {

using at::Tensor;
using at::TensorList;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

Tensor integers(const Tensor& tensor, const char* name, std::size_t table) {
  TORCH_CHECK_VALUE(tensor.scalar_type() == at::kInt || tensor.scalar_type() == at::kLong, name,
                    "[", table, "] must be int32 or int64, got ", tensor.scalar_type());
  TORCH_CHECK_VALUE(tensor.dim() == 1, name, "[", table, "] must have 1 dimension, got ",
                    tensor.dim());
  return tensor.to(at::kLong).contiguous();
}

// One batch of ids in the form that the tables read; owns converted copies.
struct Bags {
  Bags(TensorList ids, TensorList offsets, TensorList weights, std::size_t tables) {
    TORCH_CHECK_VALUE(ids.size() == tables, "ids must have ", tables, " entries, got ", ids.size());
    TORCH_CHECK_VALUE(offsets.size() == tables, "offsets must have ", tables, " entries, got ",
                      offsets.size());
    TORCH_CHECK_VALUE(weights.empty() || weights.size() == tables, "weights must have 0 or ",
                      tables, " entries, got ", weights.size());
    for (std::size_t t = 0; t < tables; ++t) {
      const Tensor id = keep(integers(ids[t], "ids", t));
      const Tensor offset = keep(integers(offsets[t], "offsets", t));
      TORCH_CHECK_VALUE(offset.numel() >= 1, "offsets[", t,
                        "] must have batch + 1 entries, got none");
      embedding::JaggedIds jagged{
          .ids = {reinterpret_cast<const std::uint64_t*>(id.const_data_ptr<std::int64_t>()),
                  static_cast<std::size_t>(id.numel())},
          .offsets = {offset.const_data_ptr<std::int64_t>(),
                      static_cast<std::size_t>(offset.numel())},
          .weights = {}};
      if (!weights.empty()) jagged.weights = float_view(weights[t], t);
      views.push_back(jagged);
    }
    batch = offsets[0].numel() - 1;
  }

  [[nodiscard]] std::span<const float> float_view(const Tensor& weight, std::size_t table) {
    TORCH_CHECK_VALUE(weight.scalar_type() == at::kFloat, "weights[", table,
                      "] must be float32, got ", weight.scalar_type());
    const Tensor kept = keep(weight.contiguous());
    return {kept.const_data_ptr<float>(), static_cast<std::size_t>(kept.numel())};
  }

  Tensor keep(Tensor tensor) {
    owned.push_back(tensor);
    return tensor;
  }

  std::vector<Tensor> owned;
  std::vector<embedding::JaggedIds> views;
  std::int64_t batch = 0;
};

std::span<float> values_of(Tensor& tensor) {
  return {tensor.mutable_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

Tensor tables_lookup_cpu(const Tensor& /*anchor*/, std::int64_t handle, std::int64_t dim,
                         double /*scale*/, TensorList ids, TensorList offsets, TensorList weights) {
  return translated([&] {
    const auto tables = find_tables(handle);
    const auto count = static_cast<std::int64_t>(tables->options().tables.size());
    TORCH_CHECK_VALUE(dim == tables->options().dim, "dim must be ", tables->options().dim, ", got ",
                      dim);
    const Bags bags(ids, offsets, weights, static_cast<std::size_t>(count));
    Tensor out = at::empty({bags.batch, count, dim}, at::kFloat);
    tables->lookup(bags.views, bags.batch, values_of(out));
    return out;
  });
}

Tensor tables_update_cpu(std::int64_t handle, double scale, TensorList ids, TensorList offsets,
                         TensorList weights, const Tensor& gradient) {
  return translated([&] {
    const auto tables = find_tables(handle);
    const Bags bags(ids, offsets, weights, tables->options().tables.size());
    const double factor = scale > 0 ? scale : static_cast<double>(bags.batch);
    Tensor scaled = gradient.to(at::kFloat).mul(factor).contiguous();
    tables->update(bags.views, bags.batch, values_of(scaled));
    return at::zeros({}, at::kFloat);
  });
}

Tensor tables_lookup_meta(const Tensor& anchor, std::int64_t /*handle*/, std::int64_t dim,
                          double /*scale*/, TensorList ids, TensorList offsets,
                          TensorList /*weights*/) {
  TORCH_CHECK_VALUE(!offsets.empty(), "offsets must have an entry for each table, got none");
  const c10::SymInt batch = offsets[0].sym_size(0) - 1;
  return at::empty_symint(
      {batch, c10::SymInt(static_cast<std::int64_t>(ids.size())), c10::SymInt(dim)},
      anchor.options().dtype(at::kFloat));
}

Tensor tables_update_meta(std::int64_t /*handle*/, double /*scale*/, TensorList /*ids*/,
                          TensorList /*offsets*/, TensorList /*weights*/, const Tensor& gradient) {
  return at::empty({}, gradient.options().dtype(at::kFloat));
}

Tensor call_lookup(const Tensor& anchor, std::int64_t handle, std::int64_t dim, double scale,
                   TensorList ids, TensorList offsets, TensorList weights) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("taut::tables_lookup", "")
                             .typed<decltype(tables_lookup_cpu)>();
  return op.call(anchor, handle, dim, scale, ids, offsets, weights);
}

Tensor call_update(std::int64_t handle, double scale, TensorList ids, TensorList offsets,
                   TensorList weights, const Tensor& gradient) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("taut::tables_update", "")
                             .typed<decltype(tables_update_cpu)>();
  return op.call(handle, scale, ids, offsets, weights, gradient);
}

// Forward: a lookup. Backward: one optimizer step of the tables.
class LookupFunction : public torch::autograd::Function<LookupFunction> {
 public:
  static Variable forward(AutogradContext* context, const Variable& anchor, std::int64_t handle,
                          std::int64_t dim, double scale, TensorList ids, TensorList offsets,
                          TensorList weights) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    variable_list saved;
    for (const TensorList list : {ids, offsets, weights})
      saved.insert(saved.end(), list.begin(), list.end());
    context->save_for_backward(saved);
    context->saved_data["tables"] = static_cast<std::int64_t>(ids.size());
    context->saved_data["handle"] = handle;
    context->saved_data["scale"] = scale;
    return call_lookup(anchor, handle, dim, scale, ids, offsets, weights);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto tables = static_cast<std::size_t>(context->saved_data["tables"].toInt());
    const TensorList all(saved);
    variable_list result(4 + saved.size());  // anchor, three numbers, and every tensor of the lists
    result[0] = call_update(context->saved_data["handle"].toInt(),
                            context->saved_data["scale"].toDouble(), all.slice(0, tables),
                            all.slice(tables, tables), all.slice(2 * tables), gradients[0]);
    return result;
  }
};

Tensor tables_lookup_autograd(const Tensor& anchor, std::int64_t handle, std::int64_t dim,
                              double scale, TensorList ids, TensorList offsets,
                              TensorList weights) {
  for (const Tensor& weight : weights) {
    TORCH_CHECK_VALUE(!weight.requires_grad(),
                      "weights must not require a gradient: they get none");
  }
  return LookupFunction::apply(anchor, handle, dim, scale, ids, offsets, weights);
}

std::int64_t tables_create(const std::string& options, std::int64_t threads) {
  return translated([&] {
    const auto pool = std::make_shared<ThreadPool>(static_cast<int>(threads));
    return register_tables(embedding::make_embedding(parse_table_options(options), pool));
  });
}

std::string tables_statistics(std::int64_t handle) {
  return translated([&] {
    const embedding::Statistics statistics = find_tables(handle)->statistics();
    nlohmann::ordered_json json = {
        {"memory_bytes", statistics.memory_bytes},   {"budget_bytes", statistics.budget_bytes},
        {"resident_rows", statistics.resident_rows}, {"rows_by_width", statistics.rows_by_width},
        {"threshold", statistics.threshold},         {"admitted_rows", statistics.admitted_rows},
        {"evicted_rows", statistics.evicted_rows}};
    for (const auto& [part, bytes] : statistics.parts) json["parts"][part] = bytes;
    return json.dump();
  });
}

constexpr std::string_view kTablesKind = "tables";
constexpr std::uint32_t kTablesVersion = 1;

void tables_save(std::int64_t handle, const std::string& path) {
  translated([&] {
    SectionWriter file(path, kTablesKind, kTablesVersion);
    find_tables(handle)->save(file, "embedding/");
    file.commit();
  });
}

void tables_load(std::int64_t handle, const std::string& path) {
  translated([&] {
    find_tables(handle)->load(SectionReader(path, kTablesKind, kTablesVersion), "embedding/");
  });
}

std::span<const std::uint64_t> ids_of(const Tensor& ids) {
  return {reinterpret_cast<const std::uint64_t*>(ids.const_data_ptr<std::int64_t>()),
          static_cast<std::size_t>(ids.numel())};
}

Tensor floats_of(const std::vector<float>& values) {
  return at::tensor(values, at::kFloat);
}

// ids [n], masks [n] (bit k: chunk k is held), importances [n] (NaN: not known), vectors [n, dim]
std::tuple<Tensor, Tensor, Tensor, Tensor> tables_read_rows(std::int64_t handle, std::int64_t table,
                                                            const Tensor& ids) {
  return translated([&] {
    TORCH_CHECK_VALUE(table >= 0, "table must be 0 or more, got ", table);
    const auto tables = find_tables(handle);
    const Tensor wanted = integers(ids, "ids", static_cast<std::size_t>(table));
    embedding::Rows rows;
    tables->read_rows(static_cast<std::size_t>(table), ids_of(wanted), rows);
    const std::vector<std::int64_t> held(rows.ids.begin(), rows.ids.end());
    const std::vector<std::int64_t> masks(rows.masks.begin(), rows.masks.end());
    return std::make_tuple(at::tensor(held, at::kLong), at::tensor(masks, at::kLong),
                           floats_of(rows.importances),
                           floats_of(rows.values).reshape({-1, tables->options().dim}));
  });
}

// How many rows are held and how many were left out.
std::tuple<std::int64_t, std::int64_t> tables_load_rows(std::int64_t handle, std::int64_t table,
                                                        const Tensor& ids, const Tensor& vectors,
                                                        const std::optional<Tensor>& importances) {
  return translated([&] {
    TORCH_CHECK_VALUE(table >= 0, "table must be 0 or more, got ", table);
    const auto tables = find_tables(handle);
    const Tensor given = integers(ids, "ids", static_cast<std::size_t>(table));
    const std::int64_t dim = tables->options().dim;
    TORCH_CHECK_VALUE(
        vectors.dim() == 2 && vectors.size(0) == given.numel() && vectors.size(1) == dim,
        "vectors must have shape [", given.numel(), ", ", dim, "], got ", vectors.sizes());
    const auto copied = [](const Tensor& tensor) {
      const Tensor flat = tensor.detach().to(at::kFloat).contiguous();
      const float* data = flat.const_data_ptr<float>();
      return std::vector<float>(data, data + flat.numel());
    };
    embedding::Rows rows;
    const std::span<const std::uint64_t> list = ids_of(given);
    rows.ids.assign(list.begin(), list.end());
    rows.tables.assign(list.size(), static_cast<std::uint32_t>(table));
    rows.values = copied(vectors);
    if (importances) rows.importances = copied(*importances);
    const embedding::LoadedRows loaded = tables->load_rows(rows);
    return std::make_tuple(loaded.held, loaded.left_out);
  });
}

}  // namespace

TORCH_LIBRARY(taut, library) {
  library.def("tables_create(str options, int threads=0) -> int", &tables_create);
  library.def("tables_option_list() -> str", &table_option_list);
  library.def("tables_release(int tables) -> ()",
              [](std::int64_t tables) { release_tables(tables); });
  library.def("tables_statistics(int tables) -> str", &tables_statistics);
  library.def("tables_save(int tables, str path) -> ()", &tables_save);
  library.def("tables_load(int tables, str path) -> ()", &tables_load);
  library.def(
      "tables_read_rows(int tables, int table, Tensor ids) -> (Tensor, Tensor, Tensor, Tensor)",
      &tables_read_rows);
  library.def(
      "tables_load_rows(int tables, int table, Tensor ids, Tensor vectors, Tensor? importances) -> "
      "(int, int)",
      &tables_load_rows);
  library.def(
      "tables_lookup(Tensor anchor, int tables, int dim, float scale, Tensor[] ids, Tensor[] "
      "offsets, "
      "Tensor[] weights) -> Tensor");
  library.def(
      "tables_update(int tables, float scale, Tensor[] ids, Tensor[] offsets, Tensor[] weights, "
      "Tensor gradient) -> Tensor");
}

TORCH_LIBRARY_IMPL(taut, CPU, library) {
  library.impl("tables_lookup", &tables_lookup_cpu);
  library.impl("tables_update", &tables_update_cpu);
}

TORCH_LIBRARY_IMPL(taut, Meta, library) {
  library.impl("tables_lookup", &tables_lookup_meta);
  library.impl("tables_update", &tables_update_meta);
}

TORCH_LIBRARY_IMPL(taut, Autograd, library) {
  library.impl("tables_lookup", &tables_lookup_autograd);
}

EmbeddingTablesImpl::EmbeddingTablesImpl(const embedding::Options& options, LossReduction reduction,
                                         int threads)
    : tables_(embedding::make_embedding(options, std::make_shared<ThreadPool>(threads))),
      handle_(register_tables(tables_)),
      reduction_(reduction),
      anchor_(register_parameter("anchor", torch::zeros({}))) {}

EmbeddingTablesImpl::~EmbeddingTablesImpl() {
  release_tables(handle_);
}

torch::Tensor EmbeddingTablesImpl::forward(at::TensorList ids, at::TensorList offsets,
                                           at::TensorList weights) {
  const double scale = reduction_ == LossReduction::kSum ? 1.0 : 0.0;
  return call_lookup(anchor_, handle_, tables_->options().dim, scale, ids, offsets, weights);
}

}  // namespace taut::nn
