#pragma once
// What networks give, computed plainly in double.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "infer/plain_values.h"
#include "taut/graph/network.h"
#include "taut/sparsity/winners.h"

namespace taut::infer::test_support {

using graph::kNetworkInput;
using graph::Layer;
using graph::LayerValues;
using graph::Network;
using graph::Op;
using graph::Shape;

/// One example through a network, in double and with indices written out: [channel][position].
class PlainPass {
 public:
  PlainPass(const Network& network, const float* values, const float* embedded)
      : network_(network), embedded_(embedded) {
    input_.resize(static_cast<std::size_t>(network.input.size()));
    const std::int64_t positions = network.input.height * network.input.width;
    for (std::int64_t p = 0; p < positions; ++p) {
      for (std::int64_t c = 0; c < network.input.channels; ++c) {
        input_[index(c * positions + p)] = values[p * network.input.channels + c];
      }
    }
  }

  std::vector<double> run() {
    for (std::size_t i = 0; i < network_.layers.size(); ++i) {
      const Layer& layer = network_.layers[i];
      std::vector<double> y(index(layer.out.size()));
      apply(layer, network_.values[i], y);
      if (layer.winner_site >= 0) choose(layer, network_.values[i], y);
      results_.push_back(std::move(y));
    }
    return results_.back();
  }

 private:
  static std::size_t index(std::int64_t at) { return static_cast<std::size_t>(at); }
  [[nodiscard]] const std::vector<double>& of(int layer) const {
    return layer == kNetworkInput ? input_ : results_[index(layer)];
  }

  void apply(const Layer& layer, const LayerValues& values, std::vector<double>& y) {
    static const std::vector<double> kNothing;
    const std::vector<double>& x = layer.inputs.empty() ? kNothing : of(layer.inputs.front());
    const std::int64_t positions = layer.in.height * layer.in.width;
    switch (layer.op) {
      case Op::kConv:
        return convolve(layer, values, x, y);
      case Op::kLinear:
        for (std::int64_t o = 0; o < layer.out.channels; ++o) {
          for (std::int64_t p = 0; p < positions; ++p) {
            double sum = layer.bias ? values.bias[index(o)] : 0.0;
            for (std::int64_t i = 0; i < layer.in.channels; ++i) {
              sum +=
                  weight(layer, values, o, i) * through_bits(values, x[index(i * positions + p)]);
            }
            y[index(o * positions + p)] = sum;
          }
        }
        return;
      case Op::kBatchNorm:
        for (std::size_t i = 0; i < y.size(); ++i) {
          const std::size_t c = i / index(positions);
          y[i] = (x[i] - values.mean[c]) / std::sqrt(values.variance[c] + graph::kNormEpsilon) *
                     values.weight[c] +
                 values.bias[c];
        }
        return;
      case Op::kRelu:
      case Op::kRelu6:
        for (std::size_t i = 0; i < y.size(); ++i) {
          y[i] = std::min(std::max(x[i], 0.0), layer.op == Op::kRelu ? 1e300 : 6.0);
        }
        return;
      case Op::kMaxPool:
      case Op::kMeanPool:
        return pool(layer, x, y);
      case Op::kGlobalMean:
        for (std::size_t i = 0; i < x.size(); ++i) {
          y[i / index(positions)] += x[i] / static_cast<double>(positions);
        }
        return;
      case Op::kFlatten:
      case Op::kReshape:
        y = x;
        return;
      case Op::kSoftmax:
        return soften(layer, x, y);
      case Op::kAdd:
        for (const int input : layer.inputs) {
          for (std::size_t i = 0; i < y.size(); ++i) y[i] += of(input)[i];
        }
        return;
      case Op::kConcat: {
        auto to = y.begin();
        for (const int input : layer.inputs) to = std::copy(of(input).begin(), of(input).end(), to);
        return;
      }
      case Op::kEmbedding:
        for (std::int64_t t = 0; t < positions; ++t) {
          for (std::int64_t k = 0; k < layer.out.channels; ++k) {
            y[index(k * positions + t)] =
                embedded_[layer.tables[index(t)] * layer.out.channels + k];
          }
        }
        return;
      case Op::kInteraction:
        return interact(layer, y);
      case Op::kFirstValues:
        for (std::int64_t p = 0; p < positions; ++p) y[0] += x[index(p)];
        return;
      case Op::kUpsample:
      case Op::kDepthToSpace:
        return enlarge(layer, x, y);
      case Op::kLayerNorm:
        return normalize(layer, values, x, y);
      case Op::kPointwise:
        for (std::size_t i = 0; i < y.size(); ++i) y[i] = plain_function(layer.pointwise, x[i]);
        return;
      case Op::kArithmetic:
        return combine(layer, y);
      case Op::kConstant:
        for (std::size_t i = 0; i < y.size(); ++i) {
          const auto c = static_cast<std::int64_t>(i) / positions;
          const auto p = static_cast<std::int64_t>(i) % positions;
          y[i] = values.weight[index(p * layer.out.channels + c)];
        }
        return;
      case Op::kStack:
        return stack(layer, y);
      case Op::kRows:
        for (std::size_t i = 0; i < y.size(); ++i) {
          const auto kept = index(layer.out.height * layer.out.width);
          y[i] = x[i / kept * index(positions) + index(layer.first * layer.in.width) + i % kept];
        }
        return;
      case Op::kAttention:
        return attend(layer, values, y);
    }
  }

  static double weight(const Layer& layer, const LayerValues& values, std::int64_t o,
                       std::int64_t i) {
    const std::int64_t width =
        layer.in.channels / layer.groups * layer.window.kernel * layer.window.kernel;
    if (values.codes.empty()) return values.weight[index(o * width + i)];
    return static_cast<double>(values.codes[index(o * width + i)]) * values.code_scales[index(o)];
  }

  // To the nearest code, halves to even, then back.
  static double through_bits(const LayerValues& values, double x) {
    if (values.input_scale == 0) return x;
    const auto scaled = static_cast<float>(x) * (1.0f / values.input_scale);
    const double code = std::nearbyint(static_cast<double>(scaled));
    const double least = values.input_unsigned ? 0 : -127;
    return std::min(std::max(code, least), values.input_unsigned ? 255.0 : 127.0) *
           values.input_scale;
  }

  // Calls body(place in the input, or -1 outside of it, and number of the tap) for each tap.
  template <typename Body>
  static void each_tap(const Layer& layer, std::int64_t oy, std::int64_t ox, Body&& body) {
    const graph::Window& w = layer.window;
    for (std::int64_t ky = 0; ky < w.kernel; ++ky) {
      for (std::int64_t kx = 0; kx < w.kernel; ++kx) {
        const std::int64_t iy = oy * w.stride - w.padding + ky;
        const std::int64_t ix = ox * graph::along_width(w).stride - w.padding + kx;
        const bool inside = iy >= 0 && iy < layer.in.height && ix >= 0 && ix < layer.in.width;
        if (inside) body(iy * layer.in.width + ix, ky * w.kernel + kx);
      }
    }
  }

  static void convolve(const Layer& layer, const LayerValues& values, const std::vector<double>& x,
                       std::vector<double>& y) {
    const std::int64_t inputs = layer.in.channels / layer.groups;
    const std::int64_t outputs = layer.out.channels / layer.groups;
    const std::int64_t taps = layer.window.kernel * layer.window.kernel;
    std::size_t at = 0;
    for (std::int64_t o = 0; o < layer.out.channels; ++o) {
      for (std::int64_t oy = 0; oy < layer.out.height; ++oy) {
        for (std::int64_t ox = 0; ox < layer.out.width; ++ox) {
          double sum = layer.bias ? values.bias[index(o)] : 0.0;
          for (std::int64_t i = 0; i < inputs; ++i) {
            const std::int64_t channel = o / outputs * inputs + i;
            each_tap(layer, oy, ox, [&](std::int64_t from, std::int64_t tap) {
              const double value = x[index(channel * layer.in.height * layer.in.width + from)];
              sum += weight(layer, values, o, i * taps + tap) * through_bits(values, value);
            });
          }
          y[at++] = sum;
        }
      }
    }
  }

  static void pool(const Layer& layer, const std::vector<double>& x, std::vector<double>& y) {
    std::size_t at = 0;
    for (std::int64_t c = 0; c < layer.out.channels; ++c) {
      for (std::int64_t oy = 0; oy < layer.out.height; ++oy) {
        for (std::int64_t ox = 0; ox < layer.out.width; ++ox) {
          double most = -INFINITY;
          double sum = 0;
          int taps = 0;
          each_tap(layer, oy, ox, [&](std::int64_t from, std::int64_t) {
            const double value = x[index(c * layer.in.height * layer.in.width + from)];
            most = std::max(most, value);
            sum += value;
            ++taps;
          });
          y[at++] = layer.op == Op::kMaxPool ? most : sum / taps;
        }
      }
    }
  }

  static void enlarge(const Layer& layer, const std::vector<double>& x, std::vector<double>& y) {
    const std::int64_t f = layer.factor;
    std::size_t to = 0;
    for (std::int64_t c = 0; c < layer.out.channels; ++c) {
      for (std::int64_t row = 0; row < layer.out.height; ++row) {
        for (std::int64_t column = 0; column < layer.out.width; ++column) {
          const std::int64_t part = (row % f * f + column % f) * layer.out.channels;
          const std::int64_t channel = layer.op == Op::kUpsample ? c : part + c;
          y[to++] = x[index((channel * layer.in.height + row / f) * layer.in.width + column / f)];
        }
      }
    }
  }

  static void normalize(const Layer& layer, const LayerValues& values, const std::vector<double>& x,
                        std::vector<double>& y) {
    const std::int64_t positions = layer.in.height * layer.in.width;
    const std::int64_t channels = layer.in.channels;
    for (std::int64_t p = 0; p < positions; ++p) {
      double mean = 0;
      double variance = 0;
      const auto at = [&](std::int64_t c) { return index(c * positions + p); };
      const auto count = static_cast<double>(channels);
      for (std::int64_t c = 0; c < channels; ++c) mean += x[at(c)] / count;
      for (std::int64_t c = 0; c < channels; ++c) {
        variance += (x[at(c)] - mean) * (x[at(c)] - mean) / count;
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        y[at(c)] =
            (x[at(c)] - mean) / std::sqrt(variance + layer.epsilon) * values.weight[index(c)] +
            values.bias[index(c)];
      }
    }
  }

  static void soften(const Layer& layer, const std::vector<double>& x, std::vector<double>& y) {
    const std::int64_t positions = layer.in.height * layer.in.width;
    for (std::int64_t p = 0; p < positions; ++p) {
      double whole = 0;
      for (std::int64_t c = 0; c < layer.in.channels; ++c) {
        whole += y[index(c * positions + p)] = std::exp(x[index(c * positions + p)]);
      }
      for (std::int64_t c = 0; c < layer.in.channels; ++c) y[index(c * positions + p)] /= whole;
    }
  }

  void stack(const Layer& layer, std::vector<double>& y) const {
    std::size_t at = 0;
    for (std::int64_t c = 0; c < layer.out.channels; ++c) {
      for (const int input : layer.inputs) {
        const std::vector<double>& x = of(input);
        const std::size_t size = x.size() / index(layer.out.channels);
        for (std::size_t p = 0; p < size; ++p) y[at++] = x[index(c) * size + p];
      }
    }
  }

  // By its definition, a query at a time.
  void attend(const Layer& layer, const LayerValues& values, std::vector<double>& y) const {
    const graph::AttentionShapes read = graph::attention_shapes(network_, layer);
    const bool together = layer.inputs.size() == 1;
    const std::int64_t queries = read.query.height * read.query.width;
    const std::int64_t keys = read.key.height * read.key.width;
    const auto value_at = [&](std::size_t part, const Shape& shape, std::int64_t c,
                              std::int64_t p) {
      const auto before = static_cast<std::int64_t>(together ? part : 0) * shape.channels;
      return of(
          layer.inputs[together ? 0 : part])[index((before + c) * shape.height * shape.width + p)];
    };
    const std::int64_t width = read.query.channels / layer.heads;
    const std::int64_t wide = read.value.channels / layer.heads;
    const double scale = layer.scale == 0 ? 1 / std::sqrt(static_cast<double>(width)) : layer.scale;
    for (std::int64_t head = 0; head < layer.heads; ++head) {
      for (std::int64_t q = 0; q < queries; ++q) {
        std::vector<double> scores;
        for (std::int64_t k = 0; k < keys; ++k) {
          double score = 0;
          for (std::int64_t c = head * width; c < (head + 1) * width; ++c) {
            score += value_at(0, read.query, c, q) * value_at(1, read.key, c, k);
          }
          score *= scale;
          if (layer.masks > 0) {
            const std::int64_t table = layer.masks == 1 ? 0 : head;
            const double mask = values.weight[index((table * queries + q) * keys + k)];
            if (!layer.mask_replaces) score += mask;
            if (layer.mask_replaces && !std::isnan(mask)) score = mask;
          }
          scores.push_back(score);
        }
        const double most = *std::max_element(scores.begin(), scores.end());
        double whole = 0;
        for (const double score : scores) whole += std::exp(score - most);
        for (std::int64_t c = head * wide; c < (head + 1) * wide; ++c) {
          double sum = 0;
          for (std::int64_t k = 0; k < keys; ++k) {
            const double weight = std::exp(scores[index(k)] - most) / whole;
            if (layer.nan_is_zero && std::isnan(weight)) continue;
            sum += weight * value_at(2, read.value, c, k);
          }
          y[index(c * queries + q)] = sum;
        }
      }
    }
  }

  void combine(const Layer& layer, std::vector<double>& y) const {
    std::size_t at = 0;
    for (std::int64_t c = 0; c < layer.out.channels; ++c) {
      for (std::int64_t row = 0; row < layer.out.height; ++row) {
        for (std::int64_t column = 0; column < layer.out.width; ++column) {
          const auto side = [&](int input) {
            const Shape& shape = network_.shape_of(input);
            const std::int64_t channel = shape.channels == 1 ? 0 : c;
            const std::int64_t down = shape.height == 1 ? 0 : row;
            const std::int64_t across = shape.width == 1 ? 0 : column;
            return of(input)[index((channel * shape.height + down) * shape.width + across)];
          };
          y[at++] =
              plain_arithmetic(layer.arithmetic, side(layer.inputs[0]), side(layer.inputs[1]));
        }
      }
    }
  }

  void interact(const Layer& layer, std::vector<double>& y) const {
    std::vector<std::vector<double>> vectors;
    for (const int input : layer.inputs) {
      const std::vector<double>& x = of(input);
      const std::size_t count = x.size() / index(layer.in.channels);
      for (std::size_t v = 0; v < count; ++v) {
        std::vector<double>& vector = vectors.emplace_back();
        for (std::int64_t k = 0; k < layer.in.channels; ++k) {
          vector.push_back(x[index(k) * count + v]);
        }
      }
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        y[at++] = std::inner_product(vectors[i].begin(), vectors[i].end(), vectors[j].begin(), 0.0);
      }
    }
    for (std::size_t v = 0; v < index(layer.copied); ++v) {
      for (const double value : vectors[v]) y[at++] = value;
    }
  }

  // All but the units of largest score become zero; among equal ones the lower index stays.
  void choose(const Layer& layer, const LayerValues& values, std::vector<double>& y) const {
    const sparsity::WinnersOptions options = graph::winners_at(network_, layer);
    const std::int64_t positions = layer.out.height * layer.out.width;
    const auto keep = [&](const std::vector<std::vector<std::size_t>>& units) {
      std::vector<std::pair<double, std::size_t>> ranked;
      for (std::size_t u = 0; u < units.size(); ++u)
        ranked.push_back({-score(options, units[u], y), u});
      std::sort(ranked.begin(), ranked.end());
      const auto count = std::max<std::size_t>(
          1, static_cast<std::size_t>(
                 std::ceil(options.rate * static_cast<double>(units.size()) - 1e-9)));
      for (std::size_t r = count; r < ranked.size(); ++r) {
        for (const std::size_t i : units[ranked[r].second]) y[i] = 0;
      }
    };
    const auto place = [&](std::int64_t c, std::int64_t p) { return index(c * positions + p); };
    const std::int64_t width = options.unit == sparsity::Unit::kBlock ? options.block : 1;
    std::vector<std::vector<std::size_t>> units;
    switch (options.unit) {
      case sparsity::Unit::kElement:
        for (std::size_t i = 0; i < y.size(); ++i) units.push_back({i});
        keep(units);
        break;
      case sparsity::Unit::kChannel:
        for (std::int64_t c = 0; c < layer.out.channels; ++c) {
          units.emplace_back();
          for (std::int64_t p = 0; p < positions; ++p) units.back().push_back(place(c, p));
        }
        keep(units);
        break;
      default:
        for (std::int64_t p = 0; p < positions; ++p) {
          units.clear();
          for (std::int64_t c = 0; c < layer.out.channels; ++c) {
            if (c % width == 0) units.emplace_back();
            units.back().push_back(place(c, p));
          }
          keep(units);
        }
    }
    for (std::size_t i = 0; i < y.size() && !values.kept_maps.empty(); ++i) {
      y[i] *= values.kept_maps[i / index(positions)];
    }
  }

  static double score(const sparsity::WinnersOptions& options, const std::vector<std::size_t>& unit,
                      const std::vector<double>& y) {
    double most = 0;
    double sum = 0;
    double squares = 0;
    for (const std::size_t i : unit) {
      most = std::max(most, std::abs(y[i]));
      sum += std::abs(y[i]);
      squares += y[i] * y[i];
    }
    if (unit.size() == 1 || options.score == sparsity::Score::kMaxMagnitude) return most;
    return options.score == sparsity::Score::kMeanSquare ? squares : sum;
  }

  const Network& network_;
  const float* embedded_;
  std::vector<double> input_;
  std::vector<std::vector<double>> results_;
};

}  // namespace taut::infer::test_support
