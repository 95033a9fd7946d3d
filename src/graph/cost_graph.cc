#include "taut/graph/cost_graph.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/graph/model_builder.h"

namespace taut::graph {
namespace {

class CostGraphMaker {
 public:
  explicit CostGraphMaker(const Network& network)
      : network_(network), model_(network.name), readers_(network.layers.size()) {
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
      for (const int input : network.layers[i].inputs) {
        if (input != kNetworkInput) readers_[index(input)].push_back(static_cast<int>(i));
      }
    }
  }

  Graph make() {
    if (network_.layers.empty()) {
      throw_invalid_argument("model " + network_.name, "at least one layer", "none");
    }
    const std::size_t sites = network_.sites();
    check_count("densities", network_.densities.size(), sites);
    check_count("winner rates", network_.winners.rates.size(), sites);
    if (network_.input.channels > 0) input_ = model_.input(network_.input);
    for (std::size_t i = 0; i < network_.layers.size(); ++i) {
      const Layer& layer = network_.layers[i];
      Tensor out = is_folded(static_cast<int>(i)) ? Tensor{.shape = layer.out} : add(layer, i);
      if (layer.winner_site >= 0) out.density = density_at(layer.winner_site);
      tensors_.push_back(out);
    }
    return model_.finish(tensors_.back());
  }

 private:
  void check_count(const char* what, std::size_t count, std::size_t sites) const {
    if (count == 0 || count == sites) return;
    throw_invalid_argument(concat("model ", network_.name, ": ", what),
                           concat(sites, ", one a site"), concat(count));
  }

  static std::size_t index(int layer) { return static_cast<std::size_t>(layer); }

  [[nodiscard]] const Layer& layer(int number) const { return network_.layers[index(number)]; }

  [[nodiscard]] std::optional<double> density_at(int site) const {
    if (!network_.densities.empty()) return network_.densities[index(site)];
    if (!network_.winners.rates.empty() && network_.winners.rates[index(site)] < 1) {
      return network_.winners.rates[index(site)];
    }
    return std::nullopt;
  }

  // An embedding whose one reader is an interaction, or a sum of such embeddings; a constant.
  [[nodiscard]] bool is_folded(int number) const {
    if (number == kNetworkInput) return false;
    if (layer(number).op == Op::kConstant) return true;
    if (layer(number).op != Op::kEmbedding) return false;
    const std::vector<int>& readers = readers_[index(number)];
    if (readers.size() != 1) return false;
    return layer(readers[0]).op == Op::kInteraction || is_sum_of_embeddings(layer(readers[0]));
  }

  [[nodiscard]] bool is_sum_of_embeddings(const Layer& sum) const {
    return sum.op == Op::kAdd && std::all_of(sum.inputs.begin(), sum.inputs.end(), [&](int input) {
             return input != kNetworkInput && layer(input).op == Op::kEmbedding &&
                    readers_[index(input)].size() == 1;
           });
  }

  [[nodiscard]] const Tensor& tensor(int number) const {
    return number == kNetworkInput ? input_ : tensors_[index(number)];
  }

  [[nodiscard]] std::vector<Tensor> operands(const Layer& reader) const {
    std::vector<Tensor> read;
    for (const int input : reader.inputs) {
      if (!is_folded(input)) read.push_back(tensor(input));
    }
    return read;
  }

  void add_tables(const Layer& embedding, const Tensor& node) {
    const std::int64_t rows_read =
        embedding.out.height / static_cast<std::int64_t>(embedding.tables.size());
    for (const int number : embedding.tables) {
      model_.table(network_.tables.at(index(number)), node, rows_read);
    }
  }

  // A node that needs whole samples, with the tables of the embeddings that belong to it.
  Tensor batch_only(const Layer& node, const char* op) {
    Tensor out = model_.batch_only(node.name, op, operands(node), node.out);
    if (node.op == Op::kEmbedding) add_tables(node, out);
    for (const int input : node.inputs) {
      if (is_folded(input) && layer(input).op == Op::kEmbedding) add_tables(layer(input), out);
    }
    return out;
  }

  Tensor linear(const Layer& fc, std::size_t number) {
    const std::vector<int>& readers = readers_[number];
    const bool to_attention =
        !readers.empty() && std::all_of(readers.begin(), readers.end(), [&](int reader) {
          return layer(reader).op == Op::kAttention && layer(reader).inputs.size() == 1;
        });
    return model_.linear(fc.name, tensor(fc.inputs.front()), fc.out.channels,
                         to_attention ? fc.out.channels / 3 : 0);
  }

  // Of several layers, or of one with constants, which belong to that layer.
  Tensor arithmetic(const Layer& node) {
    const std::vector<Tensor> read = operands(node);
    if (read.size() >= 2) return model_.combine(node.name, read, node.out);
    Tensor out = read.empty() ? Tensor{} : read[0];
    out.shape = node.out;
    out.density.reset();
    return out;
  }

  // Of queries, keys and values in one tensor or in three.
  Tensor attention(const Layer& node) {
    const std::vector<Tensor> read = operands(node);
    if (node.inputs.size() == 1) return model_.attention(node.name, read[0], node.heads);
    if (read.size() == 3)
      return model_.attention(node.name, std::span<const Tensor, 3>(read), node.heads);
    return model_.combine(node.name, read, node.out);  // some are constants
  }

  Tensor add(const Layer& node, std::size_t number) {
    const auto first = [&]() -> const Tensor& { return tensor(node.inputs.front()); };
    switch (node.op) {
      case Op::kConv:
        return model_.conv(node.name, first(), node.out.channels, node.window, node.groups);
      case Op::kLinear:
        return linear(node, number);
      case Op::kBatchNorm:
      case Op::kLayerNorm:
      case Op::kSoftmax:
      case Op::kRelu:
      case Op::kRelu6:
      case Op::kPointwise: {
        Tensor out = first();
        out.density.reset();
        return out;
      }
      case Op::kArithmetic:
      case Op::kStack:
        return arithmetic(node);
      case Op::kMaxPool:
      case Op::kMeanPool:
        return model_.pooled(first(), node.window);
      case Op::kUpsample:
      case Op::kDepthToSpace:
      case Op::kRows:
      case Op::kReshape:
      case Op::kFlatten: {
        Tensor out = first();
        out.shape = node.out;
        return out;
      }
      case Op::kGlobalMean:
        return model_.global_pool(node.name, first());
      case Op::kAdd:
        if (is_sum_of_embeddings(node)) return batch_only(node, "embedding");
        return model_.add(node.name, operands(node));
      case Op::kConstant:
        return {.shape = node.out};
      case Op::kConcat:
        return model_.concatenate(node.name, operands(node));
      case Op::kAttention:
        return attention(node);
      case Op::kEmbedding:
        return batch_only(node, "embedding");
      case Op::kInteraction:
        return batch_only(node, "interaction");
      case Op::kFirstValues:
        return batch_only(node, "first-values");
    }
    TAUT_ASSERT(false);
    return {};
  }

  const Network& network_;
  ModelBuilder model_;
  std::vector<std::vector<int>> readers_;
  Tensor input_;
  std::vector<Tensor> tensors_;
};

}  // namespace

Graph cost_graph(const Network& network) {
  return CostGraphMaker(network).make();
}

}  // namespace taut::graph
