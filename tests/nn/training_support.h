#pragma once
// What tests of tensors and training steps share.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "taut/core/random.h"
#include "taut/core/thread_pool.h"
#include "taut/nn/named_tensor.h"

namespace taut::nn {

using torch::Tensor;

// Standard normal.
inline Tensor random_tensor(at::IntArrayRef shape, std::uint64_t seed) {
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(seed);
  return torch::randn(shape, random);
}

inline std::vector<float> random_values(std::int64_t count, std::uint64_t seed) {
  const CounterRandom random(seed);
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(random.normal(static_cast<std::uint64_t>(i))));
  }
  return values;
}

inline std::shared_ptr<ThreadPool> threads(int count) {
  return std::make_shared<ThreadPool>(count);
}

// Parameters as leaves of autograd, by name.
inline std::map<std::string, Tensor> leaves_of(const std::vector<NamedTensor>& parameters) {
  std::map<std::string, Tensor> leaves;
  for (const NamedTensor& p : parameters) {
    leaves[p.name] = torch::tensor(p.values).view(p.shape).clone().requires_grad_();
  }
  return leaves;
}

inline void expect_close(const std::vector<NamedTensor>& got,
                         const std::map<std::string, Tensor>& wanted, double tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  for (const NamedTensor& p : got) {
    const Tensor values = torch::tensor(p.values).view(p.shape);
    const Tensor& other = wanted.at(p.name);
    ASSERT_EQ(values.sizes(), other.sizes()) << p.name;
    EXPECT_LE((values - other.detach()).abs().max().item<double>(), tolerance) << p.name;
  }
}

}  // namespace taut::nn
