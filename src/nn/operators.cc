// The operators that Python sees (torch.ops.taut.*), their autograd, and the C++ module over them.
#include <torch/autograd.h>
#include <torch/library.h>
#include <torch/types.h>

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "nn/bags.h"
#include "nn/loss_scale.h"
#include "nn/table_keys.h"
#include "nn/table_options.h"
#include "nn/tables.h"
#include "nn/translated.h"
#include "taut/core/error.h"
#include "taut/nn/embedding_tables.h"

namespace taut::nn {
namespace {

using at::Tensor;
using at::TensorList;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;
using TablesPointer = c10::intrusive_ptr<Tables>;
using Padding = std::optional<std::int64_t>;

// Operators take tables as an object, which an exported program holds and saves, or by a key, which
// compiled graphs take as an input. Both do the same.
TablesPointer found(const TablesPointer& tables) {
  return tables;
}

TablesPointer found(const Tensor& key) {
  return tables_of(key);
}

template <typename Handle>
Tensor lookup_cpu(const Tensor& /*anchor*/, const Handle& handle, std::int64_t dim,
                  double /*scale*/, TensorList ids, TensorList offsets, TensorList weights,
                  std::string_view mode, Padding padding) {
  return translated([&] {
    const TablesPointer tables = found(handle);
    TORCH_CHECK_VALUE(dim == tables->options().dim, "dim must be ", tables->options().dim, ", got ",
                      dim);
    return tables->lookup(Bags(ids, offsets, weights, tables->options().tables.size(),
                               {pooling_mode(mode), padding}));
  });
}

template <typename Handle>
Tensor update_cpu(const Handle& handle, double scale, TensorList ids, TensorList offsets,
                  TensorList weights, const Tensor& gradient, std::string_view mode,
                  Padding padding) {
  return translated([&] {
    const TablesPointer tables = found(handle);
    const Bags bags(ids, offsets, weights, tables->options().tables.size(),
                    {pooling_mode(mode), padding});
    tables->update(bags, scale, gradient);
    return at::zeros({}, at::kFloat);
  });
}

template <typename Handle>
constexpr bool kKeyed = std::is_same_v<Handle, Tensor>;

template <typename Handle, typename... Rest>
Tensor call_lookup(const Tensor& anchor, const Handle& handle, const Rest&... rest) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow(kKeyed<Handle> ? "taut::keyed_lookup" : "taut::tables_lookup", "")
          .template typed<decltype(lookup_cpu<Handle>)>();
  return op.call(anchor, handle, rest...);
}

template <typename Handle, typename... Rest>
Tensor call_update(const Handle& handle, const Rest&... rest) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow(kKeyed<Handle> ? "taut::keyed_update" : "taut::tables_update", "")
          .template typed<decltype(update_cpu<Handle>)>();
  return op.call(handle, rest...);
}

// Forward: a lookup. Backward: one optimizer step of the tables.
template <typename Handle>
class LookupFunction : public torch::autograd::Function<LookupFunction<Handle>> {
 public:
  static Variable forward(AutogradContext* context, const Variable& anchor, const Handle& handle,
                          std::int64_t dim, double scale, TensorList ids, TensorList offsets,
                          TensorList weights, std::string_view mode, Padding padding) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    variable_list saved;
    for (const TensorList list : {ids, offsets, weights})
      saved.insert(saved.end(), list.begin(), list.end());
    if constexpr (kKeyed<Handle>) {
      saved.push_back(handle);
    } else {
      context->saved_data["tables"] = handle;
    }
    context->save_for_backward(saved);
    context->saved_data["count"] = static_cast<std::int64_t>(ids.size());
    context->saved_data["weights"] = static_cast<std::int64_t>(weights.size());
    context->saved_data["scale"] = scale;
    context->saved_data["mode"] = std::string(mode);
    context->saved_data["padding"] = padding;
    context->saved_data["pass"] = current_pass();
    return call_lookup(anchor, handle, dim, scale, ids, offsets, weights, mode, padding);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    TORCH_CHECK_NOT_IMPLEMENTED(
        !at::GradMode::is_enabled(),
        "rows are trained within backward() and have no second derivative: leave create_graph out, "
        "or take the gradient of a gradient of what comes after the lookup alone (lookup "
        "under torch.no_grad(), requires_grad_() on its result)");
    const variable_list saved = context->get_saved_variables();
    const auto value = [&](const char* name) -> const c10::IValue& {
      return context->saved_data[name];
    };
    const auto count = static_cast<std::size_t>(value("count").toInt());
    const auto weights = static_cast<std::size_t>(value("weights").toInt());
    const TensorList all(saved);
    const auto update = [&](const auto& handle) {
      return call_update(handle, value("scale").toDouble(), all.slice(0, count),
                         all.slice(count, count), all.slice(2 * count, weights), gradients[0],
                         std::string_view(value("mode").toStringRef()),
                         value("padding").template toOptional<std::int64_t>());
    };
    const WithinPass within(value("pass").toInt());
    variable_list result(6 + 2 * count + weights);  // arguments, and every tensor of the lists
    if constexpr (kKeyed<Handle>) {
      result[0] = update(saved.back());
    } else {
      result[0] = update(value("tables").template toCustomClass<Tables>());
    }
    return result;
  }
};

template <typename Handle>
Tensor lookup_autograd(const Tensor& anchor, const Handle& handle, std::int64_t dim, double scale,
                       TensorList ids, TensorList offsets, TensorList weights,
                       std::string_view mode, Padding padding) {
  for (const Tensor& weight : weights) {
    TORCH_CHECK_VALUE(!weight.requires_grad(),
                      "weights must not require a gradient: look rows up with mode none and "
                      "multiply them");
  }
  return LookupFunction<Handle>::apply(anchor, handle, dim, scale, ids, offsets, weights, mode,
                                       padding);
}

Tensor floats_of(const std::vector<float>& values) {
  return at::tensor(values, at::kFloat);
}

// ids [n], masks [n] (bit k: chunk k is held), importances [n] (NaN: not known), vectors [n, dim]
std::tuple<Tensor, Tensor, Tensor, Tensor> read_rows(const TablesPointer& tables,
                                                     std::int64_t table, const Tensor& ids) {
  return translated([&] {
    TORCH_CHECK_VALUE(table >= 0, "table must be 0 or more, got ", table);
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
std::tuple<std::int64_t, std::int64_t> load_rows(const TablesPointer& tables, std::int64_t table,
                                                 const Tensor& ids, const Tensor& vectors,
                                                 const std::optional<Tensor>& importances) {
  return translated([&] {
    TORCH_CHECK_VALUE(table >= 0, "table must be 0 or more, got ", table);
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

TablesPointer make_tables(const std::string& options, std::int64_t threads) {
  return translated([&] {
    if (threads < 0 || threads > std::numeric_limits<int>::max()) {
      throw_invalid_argument("threads", "0 or more", std::to_string(threads));
    }
    return c10::make_intrusive<Tables>(parse_table_options(options), static_cast<int>(threads));
  });
}

// What a pickle holds: options, threads, rows with their optimizer state. Of shared tables no rows:
// who copies them here holds Python's interpreter, which other threads need while processes wait
// for each other. Modules bring rows together before; tracers, which copy what they look at, want
// none.
using Pickled = std::tuple<std::string, std::int64_t, Tensor>;

Pickled pickled(const TablesPointer& tables) {
  return translated([&] {
    return Pickled(table_options_text(tables->options()), tables->threads(),
                   tables->is_shared() ? at::empty({0}, at::kByte) : tables->state());
  });
}

TablesPointer unpickled(const Pickled& parts) {
  const TablesPointer tables = make_tables(std::get<0>(parts), std::get<1>(parts));
  const Tensor& rows = std::get<2>(parts);
  if (rows.numel() > 0) translated([&] { tables->load(rows); });
  return tables;
}

}  // namespace

TORCH_LIBRARY(taut, library) {
  // Methods of the class would be traced by name, and its fake had to have them all: these are
  // operators instead.
  library.class_<Tables>("Tables")
      .def(torch::init(&make_tables))
      .def("__obj_flatten__",
           [](const TablesPointer& self) {
             return std::make_tuple(
                 std::make_tuple(std::string("options"), table_options_text(self->options())));
           })
      // torch.library.opcheck asks every argument whether it is a sequence, and which equal
      // another.
      .def("__len__", [](const TablesPointer&) { return std::int64_t{0}; })
      .def("__eq__",
           [](const TablesPointer& self, const TablesPointer& other) { return self == other; })
      .def_pickle([](const TablesPointer& self) { return pickled(self); },
                  [](const Pickled& parts) { return unpickled(parts); });
  library.def("tables_option_list() -> str", &table_option_list);
  library.def(
      "tables_statistics(__torch__.torch.classes.taut.Tables tables) -> str",
      [](const TablesPointer& tables) { return translated([&] { return tables->statistics(); }); });
  library.def(
      "tables_state(__torch__.torch.classes.taut.Tables tables) -> Tensor",
      [](const TablesPointer& tables) { return translated([&] { return tables->state(); }); });
  library.def("tables_load(__torch__.torch.classes.taut.Tables tables, Tensor state) -> ()",
              [](const TablesPointer& tables, const Tensor& state) {
                translated([&] { tables->load(state); });
              });
  library.def("tables_gather(__torch__.torch.classes.taut.Tables tables, int parts) -> ()",
              [](const TablesPointer& tables, std::int64_t parts) {
                translated([&] { tables->gather(parts); });
              });
  library.def("tables_step(__torch__.torch.classes.taut.Tables tables) -> ()",
              [](const TablesPointer& tables) { translated([&] { tables->step(); }); });
  library.def("tables_defer(__torch__.torch.classes.taut.Tables tables) -> ()",
              [](const TablesPointer& tables) { translated([&] { tables->defer(); }); });
  library.def("tables_end_pass(__torch__.torch.classes.taut.Tables tables, float factor) -> float",
              [](const TablesPointer& tables, double factor) {
                return translated([&] { return tables->end_pass(factor); });
              });
  library.def(
      "tables_step_waiting(__torch__.torch.classes.taut.Tables tables, float scale, float factor) "
      "-> ()",
      [](const TablesPointer& tables, double scale, double factor) {
        translated([&] { tables->step_waiting(scale, factor); });
      });
  library.def(
      "tables_share(__torch__.torch.classes.taut.Tables tables, str group, int index, int of) -> "
      "()",
      [](const TablesPointer& tables, const std::string& group, std::int64_t index,
         std::int64_t of) {
        translated([&] { tables->share({.group = group, .share = {.index = index, .of = of}}); });
      });
  library.def(
      "tables_set_learning_rate(__torch__.torch.classes.taut.Tables tables, float rate) -> ()",
      [](const TablesPointer& tables, double rate) {
        translated([&] { tables->set_learning_rate(rate); });
      });
  library.def("tables_drop(__torch__.torch.classes.taut.Tables tables) -> ()",
              [](const TablesPointer& tables) { tables->drop(); });
  library.def(
      "tables_read_rows(__torch__.torch.classes.taut.Tables tables, int table, Tensor ids) -> "
      "(Tensor, Tensor, Tensor, Tensor)",
      &read_rows);
  library.def(
      "tables_load_rows(__torch__.torch.classes.taut.Tables tables, int table, Tensor ids, Tensor "
      "vectors, Tensor? importances) -> (int, int)",
      &load_rows);
  library.def("loss_scale_begin(float scale) -> int",
              [](double scale) { return translated([&] { return begin_loss_scale(scale); }); });
  library.def("loss_scale_end(int backward) -> ()",
              [](std::int64_t backward) { end_loss_scale(backward); });
  library.def("tables_key(__torch__.torch.classes.taut.Tables tables) -> Tensor", &key_of);
  library.def(
      "tables_lookup(Tensor anchor, __torch__.torch.classes.taut.Tables tables, int dim, float "
      "scale, Tensor[] ids, Tensor[] offsets, Tensor[] weights, str mode='sum', int? "
      "padding_idx=None) -> Tensor");
  library.def(
      "tables_update(__torch__.torch.classes.taut.Tables tables, float scale, Tensor[] ids, "
      "Tensor[] offsets, Tensor[] weights, Tensor gradient, str mode='sum', int? "
      "padding_idx=None) -> Tensor");
  library.def(
      "keyed_lookup(Tensor anchor, Tensor key, int dim, float scale, Tensor[] ids, Tensor[] "
      "offsets, Tensor[] weights, str mode='sum', int? padding_idx=None) -> Tensor");
  library.def(
      "keyed_update(Tensor key, float scale, Tensor[] ids, Tensor[] offsets, Tensor[] weights, "
      "Tensor gradient, str mode='sum', int? padding_idx=None) -> Tensor");
}

TORCH_LIBRARY_IMPL(taut, CPU, library) {
  library.impl("tables_lookup", &lookup_cpu<TablesPointer>);
  library.impl("tables_update", &update_cpu<TablesPointer>);
  library.impl("keyed_lookup", &lookup_cpu<Tensor>);
  library.impl("keyed_update", &update_cpu<Tensor>);
}

TORCH_LIBRARY_IMPL(taut, Autograd, library) {
  library.impl("tables_lookup", &lookup_autograd<TablesPointer>);
  library.impl("keyed_lookup", &lookup_autograd<Tensor>);
}

EmbeddingTablesImpl::EmbeddingTablesImpl(const embedding::Options& options, LossReduction reduction,
                                         int threads)
    : tables_(c10::make_intrusive<Tables>(options, threads)),
      reduction_(reduction),
      anchor_(register_parameter("anchor", torch::zeros({}))) {}

EmbeddingTablesImpl::~EmbeddingTablesImpl() = default;

torch::Tensor EmbeddingTablesImpl::forward(at::TensorList ids, at::TensorList offsets,
                                           at::TensorList weights) {
  const double scale = reduction_ == LossReduction::kSum ? 1.0 : 0.0;
  return call_lookup(anchor_, tables_, std::int64_t{tables_->options().dim}, scale, ids, offsets,
                     weights, std::string_view("sum"), Padding{});
}

const embedding::Embedding& EmbeddingTablesImpl::tables() const noexcept {
  return tables_->collection();
}

void EmbeddingTablesImpl::save(torch::serialize::OutputArchive& archive) const {
  torch::nn::Module::save(archive);
  translated([&] { archive.write("rows", tables_->state(), /*is_buffer=*/true); });
}

void EmbeddingTablesImpl::load(torch::serialize::InputArchive& archive) {
  torch::nn::Module::load(archive);
  Tensor rows;
  TORCH_CHECK_VALUE(archive.try_read("rows", rows, /*is_buffer=*/true),
                    "the archive has no rows: it was written by another version");
  translated([&] { tables_->load(rows); });
}

}  // namespace taut::nn
