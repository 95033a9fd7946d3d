#include "nn/gradient_exchange.h"

#include <algorithm>

#include "nn/program.h"

namespace taut::nn {

using at::Tensor;

GradientExchange::GradientExchange(std::shared_ptr<dist::ProcessGroup> workers,
                                   const std::vector<Tensor>& parameters)
    : workers_(std::move(workers)),
      at_(parameters.size()),
      bucket_of_(parameters.size()),
      overlap_(workers_, dist::Cause::kGradients) {
  std::int64_t count = 0;
  for (const Tensor& parameter : parameters) parameters_.push_back(parameter.detach());
  for (std::size_t p = parameters_.size(); p-- > 0;) {
    const std::int64_t size = parameters_[p].numel();
    if (buckets_.empty() || buckets_.back().values.size >= kGradientBucket) {
      Bucket& bucket = buckets_.emplace_back();
      bucket.end = p + 1;
      bucket.values.begin = count;
    }
    buckets_.back().first = p;
    buckets_.back().values.size += size;
    bucket_of_[p] = buckets_.size() - 1;
    at_[p] = count;
    count += size;
  }
  sums_ = at::empty({count}, at::kFloat);
}

// A view of it.
Tensor GradientExchange::sum_of(std::size_t parameter) const {
  const Tensor& like = parameters_[parameter];
  return sums_.narrow(0, at_[parameter], like.numel()).view(like.sizes());
}

dist::Overlap& GradientExchange::start(std::size_t slices) {
  given_.assign(slices, std::vector<Tensor>(parameters_.size()));
  for (Bucket& bucket : buckets_) {
    bucket.missing = static_cast<std::int64_t>(slices * (bucket.end - bucket.first));
  }
  overlap_.start(std::ssize(buckets_), [this](std::int64_t number) { send(number); });
  if (slices == 0) {
    sums_.zero_();
    for (std::int64_t k = 0; k < std::ssize(buckets_); ++k) overlap_.ready(k);
  }
  return overlap_;
}

void GradientExchange::put(std::size_t slice, std::size_t parameter, const Tensor& gradient) {
  given_[slice][parameter] = gradient;
  Bucket& bucket = buckets_[bucket_of_[parameter]];
  if (bucket.missing.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  add_slices(bucket);
  overlap_.ready(static_cast<std::int64_t>(bucket_of_[parameter]));
}

void GradientExchange::add_slices(const Bucket& bucket) {
  const at::NoGradGuard no_grad;
  for (std::size_t p = bucket.first; p < bucket.end; ++p) {
    Tensor sum = sum_of(p);
    sum.copy_(given_[0][p]);
    for (std::size_t s = 1; s < given_.size(); ++s) sum.add_(given_[s][p]);
  }
}

void GradientExchange::send(std::int64_t number) {
  const Range& all = buckets_[static_cast<std::size_t>(number)].values;
  float* values = sums_.mutable_data_ptr<float>();
  for (std::int64_t begin = all.begin; begin < all.end(); begin += kGradientMessage) {
    const auto size = static_cast<std::size_t>(std::min(kGradientMessage, all.end() - begin));
    workers_->all_reduce({values + begin, size}, dist::Cause::kGradients);
  }
}

std::vector<Tensor> GradientExchange::finish(const std::vector<std::vector<Tensor>>& gradients) {
  overlap_.finish();
  const at::NoGradGuard no_grad;
  given_.clear();
  std::vector<Tensor> sums;
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    sums.push_back(gradients.empty() ? at::empty_like(parameters_[p]) : gradients[0][p]);
    sums.back().copy_(sum_of(p));
  }
  return sums;
}

}  // namespace taut::nn
