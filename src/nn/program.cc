#include "nn/program.h"

#include <cmath>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using torch::Tensor;

std::string state_section(const std::string& parameter, std::string_view what) {
  return concat("optimizer/", parameter, "/", what);
}

}  // namespace

Program::Program(Network described, Start start, std::uint64_t seed,
                 std::shared_ptr<ThreadPool> threads, std::int64_t examples)
    : network(std::move(described)), pool(std::move(threads)), slice_size(examples) {
  check_computable(network);
  use_one_torch_thread();
  values = initial_values(network, start, seed);
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const auto add = [&](const char* what, Tensor& parameter) {
      if (!parameter.defined()) return;
      parameter.set_requires_grad(true);
      parameters.push_back(parameter);
      parameter_names.push_back(concat(network.layers[i].name, ".", what));
    };
    add("weight", values.weights[i]);
    add("bias", values.biases[i]);
  }
}

void Program::set_rates(const std::vector<double>& rates) {
  network.winners.rates = rates_by_site(rates, network.winner_sites().size());
}

void Program::set_optimizer(const OptimizerChoice& choice,
                            const std::vector<ParameterGroup>& groups) {
  optimizer = make_optimizer(choice, groups);
  optimizer_name = choice.name;
}

std::vector<Tensor> Program::sums_of(const std::vector<std::vector<Tensor>>& gradients) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> sums = gradients[0];
  for (std::size_t s = 1; s < gradients.size(); ++s) {
    for (std::size_t p = 0; p < sums.size(); ++p) sums[p].add_(gradients[s][p]);
  }
  return sums;
}

void Program::step(std::vector<Tensor> sums, std::int64_t batch) {
  const torch::NoGradGuard no_grad;
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    parameters[p].mutable_grad() = sums[p].div_(static_cast<double>(batch));
  }
  optimizer->step();
}

void Program::add_over_workers(const std::vector<Tensor>& sums) const {
  std::vector<Tensor> all;
  for (const Tensor& sum : sums) all.push_back(sum.reshape({-1}));
  const Tensor flat = torch::cat(all);
  const std::int64_t count = flat.numel();
  float* sent = flat.mutable_data_ptr<float>();
  for (std::int64_t begin = 0; begin < count; begin += kGradientMessage) {
    const auto size = static_cast<std::size_t>(std::min(kGradientMessage, count - begin));
    workers->all_reduce({sent + begin, size}, dist::Cause::kGradients);
  }
  std::int64_t at = 0;
  for (const Tensor& sum : sums) {
    sum.copy_(flat.narrow(0, at, sum.numel()).view(sum.sizes()));
    at += sum.numel();
  }
}

void Program::save(TensorWriter& file) const {
  visit_values(network, values,
               [&](const std::string& name, const Tensor& t) { file.add("values/" + name, t); });
  const auto kept = optimizer_tensors(optimizer_name);
  std::vector<std::int64_t> steps;
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const OptimizerState state = state_of(*optimizer, parameters[p]);
    for (std::size_t k = 0; k < state.tensors.size(); ++k) {
      file.add(state_section(parameter_names[p], kept[k]), state.tensors[k]);
    }
    steps.push_back(state.steps);
  }
  file.fact("optimizer", optimizer_name);
  file.fact("optimizer_steps", steps);
}

Program::Loaded Program::read(const TensorReader& file, bool state) const {
  Loaded loaded;
  visit_values(network, values, [&](const std::string& name, const Tensor& t) {
    loaded.values.emplace_back(t, file.read_like("values/" + name, t));
  });
  if (!state) return loaded;
  const auto name = file.fact<std::string>("optimizer");
  if (name != optimizer_name) {
    file.throw_wrong("optimizer", concat("wanted ", optimizer_name, ", got ", name));
  }
  const auto steps = file.fact<std::vector<std::int64_t>>("optimizer_steps");
  if (steps.size() != parameters.size()) {
    file.throw_wrong("optimizer_steps",
                     concat("wanted ", parameters.size(), " numbers, got ", steps.size()));
  }
  const auto kept = optimizer_tensors(optimizer_name);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    if (steps[p] < 0) file.throw_wrong("optimizer_steps", concat("got ", steps[p]));
    OptimizerState one{.steps = steps[p], .tensors = {}};
    if (file.has(state_section(parameter_names[p], kept[0]))) {
      for (const std::string_view what : kept) {
        one.tensors.push_back(
            file.read_like(state_section(parameter_names[p], what), parameters[p]));
      }
    }
    loaded.states.push_back(std::move(one));
  }
  return loaded;
}

void Program::take(Loaded loaded) {
  const torch::NoGradGuard no_grad;
  for (auto& [target, value] : loaded.values) target.copy_(value);
  for (std::size_t p = 0; p < loaded.states.size(); ++p) {
    set_state(*optimizer, optimizer_name, parameters[p], std::move(loaded.states[p]));
  }
}

std::vector<NamedTensor> Program::named(const NetworkValues& of) const {
  std::vector<NamedTensor> result;
  visit_values(network, of, [&](const std::string& name, const Tensor& value) {
    const Tensor plain = value.detach().contiguous();
    const float* data = plain.const_data_ptr<float>();
    result.push_back({name, plain.sizes().vec(), {data, data + plain.numel()}});
  });
  return result;
}

std::int64_t Program::parameter_count() const {
  std::int64_t count = 0;
  for (const Tensor& parameter : parameters) count += parameter.numel();
  return count;
}

std::vector<double> rates_by_site(const std::vector<double>& rates, std::size_t sites) {
  for (const double rate : rates) {
    if (rate > 0 && rate <= 1) continue;
    throw Error(ErrorKind::kConfig, concat("model.winner_rate must be in (0, 1], got ", rate));
  }
  if (rates.size() == 1) return std::vector<double>(sites, rates[0]);
  if (!rates.empty() && rates.size() != sites) {
    throw Error(ErrorKind::kConfig,
                concat("model.winner_rate must be one rate, or one for each of ", sites,
                       " layers, got ", rates.size()));
  }
  return rates;
}

void require_size(std::string_view argument, std::int64_t wanted, std::size_t got) {
  if (static_cast<std::size_t>(wanted) != got) {
    throw_invalid_argument(concat("size of ", argument), std::to_string(wanted),
                           std::to_string(got));
  }
}

void require_finite(double loss, std::string_view advice) {
  if (std::isfinite(loss)) return;
  throw Error(ErrorKind::kData, "the loss is not finite", {}, std::string(advice));
}

Tensor view_of(std::span<const float> numbers, std::int64_t offset, at::IntArrayRef shape) {
  return torch::from_blob(const_cast<float*>(numbers.data() + offset), shape, torch::kFloat32);
}

}  // namespace taut::nn
