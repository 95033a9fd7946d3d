#include "taut/sparsity/prune.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::sparsity {
namespace {

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// Scores that order as magnitudes do, NaN above all.
float rank_of(float value) {
  const float magnitude = std::fabs(value);
  return magnitude == magnitude ? magnitude : INFINITY;
}

void check_share(double share) {
  if (!(share >= 0 && share < 1)) {
    throw_invalid_argument("share", "at least 0, below 1", concat(share));
  }
}

// Marks 1 for the `kept` largest of ranks; among equals the lower index stays.
Mask keep_largest(const std::vector<float>& ranks, std::int64_t kept) {
  Mask mask(ranks.size(), 0);
  if (kept <= 0) return mask;
  std::vector<float> order = ranks;
  std::nth_element(order.begin(), order.begin() + (kept - 1), order.end(), std::greater<>());
  const float line = order[index(kept - 1)];
  std::int64_t ties =
      kept - std::count_if(ranks.begin(), ranks.end(), [line](float rank) { return rank > line; });
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    mask[i] = ranks[i] > line || (ranks[i] == line && ties-- > 0);
  }
  return mask;
}

Mask keep_share(const std::vector<float>& ranks, double share) {
  const auto n = static_cast<std::int64_t>(ranks.size());
  return keep_largest(ranks, n - pruned_count(n, share));
}

std::vector<float> ranks_of(std::span<const float> values) {
  std::vector<float> ranks(values.size());
  std::transform(values.begin(), values.end(), ranks.begin(), rank_of);
  return ranks;
}

std::vector<Mask> prune_global(std::span<const Weight> layers, double share) {
  std::vector<float> ranks;
  for (const Weight& layer : layers) {
    for (const float value : layer.values) ranks.push_back(rank_of(value));
  }
  const Mask all = keep_share(ranks, share);
  std::vector<Mask> masks;
  auto at = all.begin();
  for (const Weight& layer : layers) {
    const auto end = at + static_cast<std::ptrdiff_t>(layer.values.size());
    masks.emplace_back(at, end);
    at = end;
  }
  return masks;
}

Mask prune_n_of_m(const Weight& layer, int n, int m) {
  Mask mask(layer.values.size());
  std::vector<float> ranks(index(m));
  for (std::int64_t output = 0; output < layer.outputs; ++output) {
    for (std::int64_t input = 0; input < layer.inputs; input += m) {
      for (std::int64_t tap = 0; tap < layer.taps; ++tap) {
        const std::int64_t first = (output * layer.inputs + input) * layer.taps + tap;
        for (int i = 0; i < m; ++i) {
          ranks[index(i)] = rank_of(layer.values[index(first + i * layer.taps)]);
        }
        const Mask kept = keep_largest(ranks, n);
        for (int i = 0; i < m; ++i) mask[index(first + i * layer.taps)] = kept[index(i)];
      }
    }
  }
  return mask;
}

// Prunes groups of values; group_of(output, input, tap) numbers them from 0.
template <typename GroupOf>
Mask prune_groups(const Weight& layer, std::int64_t groups, double share, GroupOf&& group_of) {
  std::vector<double> sums(index(groups));
  std::vector<std::int64_t> counts(index(groups));
  std::vector<std::size_t> group(layer.values.size());
  std::size_t at = 0;
  for (std::int64_t output = 0; output < layer.outputs; ++output) {
    for (std::int64_t input = 0; input < layer.inputs; ++input) {
      for (std::int64_t tap = 0; tap < layer.taps; ++tap, ++at) {
        group[at] = index(group_of(output, input, tap));
        sums[group[at]] += rank_of(layer.values[at]);
        ++counts[group[at]];
      }
    }
  }
  std::vector<float> ranks(sums.size());
  for (std::size_t g = 0; g < sums.size(); ++g) {
    ranks[g] = static_cast<float>(sums[g] / static_cast<double>(counts[g]));
  }
  const Mask kept = keep_share(ranks, share);
  Mask mask(layer.values.size());
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = kept[group[i]];
  return mask;
}

Mask prune_blocks(const Weight& layer, const PruneOptions& options) {
  const auto blocks = [](std::int64_t size, std::int64_t block) {
    return (size + block - 1) / block;
  };
  const std::int64_t across = blocks(layer.inputs, options.block_inputs);
  const std::int64_t groups = blocks(layer.outputs, options.block_outputs) * across * layer.taps;
  return prune_groups(layer, groups, options.share,
                      [&](std::int64_t output, std::int64_t input, std::int64_t tap) {
                        const std::int64_t row = output / options.block_outputs;
                        return (row * across + input / options.block_inputs) * layer.taps + tap;
                      });
}

Mask prune_layer(const Weight& layer, const PruneOptions& options) {
  switch (options.prune) {
    case Prune::kNOfM:
      return prune_n_of_m(layer, options.n, options.m);
    case Prune::kBlock:
      return prune_blocks(layer, options);
    case Prune::kOutputs:
      return prune_groups(layer, layer.outputs, options.share,
                          [](std::int64_t output, std::int64_t, std::int64_t) { return output; });
    default:
      return keep_share(ranks_of(layer.values), options.share);
  }
}

void require_positive(std::string_view argument, std::int64_t got) {
  if (got < 1) throw_invalid_argument(argument, "at least 1", concat(got));
}

void check_prune_options(const PruneOptions& options) {
  if (options.prune == Prune::kNOfM) {
    require_positive("m", options.m);
    if (options.n < 1 || options.n > options.m) {
      throw_invalid_argument("n", concat("from 1 to m ", options.m), concat(options.n));
    }
    return;
  }
  check_share(options.share);
  if (options.prune == Prune::kBlock) {
    require_positive("block_outputs", options.block_outputs);
    require_positive("block_inputs", options.block_inputs);
  }
}

void check_layer(const Weight& layer, std::size_t number, const PruneOptions& options) {
  const auto named = [number](std::string_view field) {
    return concat("layers[", number, "].", field);
  };
  require_positive(named("outputs"), layer.outputs);
  require_positive(named("inputs"), layer.inputs);
  require_positive(named("taps"), layer.taps);
  const std::int64_t size = layer.outputs * layer.inputs * layer.taps;
  if (static_cast<std::int64_t>(layer.values.size()) != size) {
    throw_invalid_argument(named("values"), concat(size, " values"), concat(layer.values.size()));
  }
  if (options.prune == Prune::kNOfM && layer.inputs % options.m != 0) {
    throw_invalid_argument(named("inputs"), concat("a multiple of m ", options.m),
                           concat(layer.inputs));
  }
}

}  // namespace

std::string to_string(Prune prune) {
  return std::string(spelling_of(prune));
}
Prune parse_prune(const std::string& text) {
  return parse_spelling<Prune>(text, ErrorKind::kConfig, "prune", "prune");
}

std::int64_t pruned_count(std::int64_t n, double share) noexcept {
  const double product = share * static_cast<double>(n);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(product * (1 + 1e-9))), 0,
                                  n);
}

std::vector<Mask> prune_masks(std::span<const Weight> layers, const PruneOptions& options) {
  check_prune_options(options);
  for (std::size_t i = 0; i < layers.size(); ++i) check_layer(layers[i], i, options);
  if (options.prune == Prune::kGlobal) return prune_global(layers, options.share);
  std::vector<Mask> masks;
  for (const Weight& layer : layers) masks.push_back(prune_layer(layer, options));
  return masks;
}

Mask prune_scores(std::span<const float> scores, double share) {
  check_share(share);
  return keep_share(ranks_of(scores), share);
}

double gradual_share(double step, double begin, double end, double initial_share,
                     double final_share) {
  if (!(begin < end)) throw_invalid_argument("end", concat("above begin ", begin), concat(end));
  check_share(initial_share);
  check_share(final_share);
  const double left = 1 - std::clamp((step - begin) / (end - begin), 0.0, 1.0);
  return final_share + (initial_share - final_share) * left * left * left;
}

}  // namespace taut::sparsity
