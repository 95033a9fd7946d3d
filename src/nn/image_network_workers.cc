// Steps of an ImageNetwork by several workers: what travels beside gradients, and plans.
#include <algorithm>
#include <cstring>

#include "nn/image_network_impl.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using torch::Tensor;

// What a slice gave, as bytes: the loss, then means and variances of every layer that has them.
class SliceRecord {
 public:
  explicit SliceRecord(const NetworkValues& values) {
    for (std::size_t i = 0; i < values.means.size(); ++i) {
      if (!values.means[i].defined()) continue;
      layers_.push_back(i);
      channels_.push_back(values.means[i].numel());
      bytes_ += 2 * channels_.back() * static_cast<std::int64_t>(sizeof(float));
    }
  }

  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

  void write(const ImageLoss& loss, const NormStatistics& statistics, std::byte* to) const {
    std::memcpy(to, &loss, sizeof(ImageLoss));
    to += sizeof(ImageLoss);
    each([&](std::size_t layer, std::int64_t channels) {
      for (const Tensor& one : {statistics.means[layer], statistics.variances[layer]}) {
        const std::size_t size = static_cast<std::size_t>(channels) * sizeof(float);
        std::memcpy(to, one.contiguous().const_data_ptr<float>(), size);
        to += size;
      }
    });
  }

  void read(const std::byte* from, ImageLoss& loss, NormStatistics& statistics) const {
    std::memcpy(&loss, from, sizeof(ImageLoss));
    from += sizeof(ImageLoss);
    each([&](std::size_t layer, std::int64_t channels) {
      for (Tensor* one : {&statistics.means[layer], &statistics.variances[layer]}) {
        *one = torch::empty({channels});
        std::memcpy(one->mutable_data_ptr<float>(), from, one->nbytes());
        from += one->nbytes();
      }
    });
  }

 private:
  template <typename Body>
  void each(Body&& body) const {
    for (std::size_t k = 0; k < layers_.size(); ++k) body(layers_[k], channels_[k]);
  }

  std::vector<std::size_t> layers_;
  std::vector<std::int64_t> channels_;
  std::int64_t bytes_ = sizeof(ImageLoss);
};

}  // namespace

void ImageNetwork::Impl::check_step(const ImageInput& input, std::int64_t batch) const {
  if (workers == nullptr) {
    if (batch != input.size) {
      throw_invalid_argument("whole", "the images that are given, without workers", concat(batch));
    }
    return check_input(input, /*labelled=*/true);
  }
  const Range mine = workers->part_of(workers->rank(), batch, slice_size);
  if (batch < 1 || input.size != mine.size) {
    throw_invalid_argument("size", concat("this worker's share of ", batch, " images, ", mine.size),
                           concat(input.size));
  }
  if (input.size > 0) check_input(input, /*labelled=*/true);
}

void ImageNetwork::Impl::check_planned() const {
  const auto refuse = [](bool is_on, std::string_view what) {
    if (!is_on) return;
    throw Error(ErrorKind::kUnsupported, concat("no plan but dp runs ", what, " yet"), {},
                "leave it out, or use dp");
  };
  refuse(options.label_smoothing > 0, "train.label_smoothing");
  refuse(options.ema > 0, "train.ema");
  refuse(options.bf16, "train.bf16");
  refuse(quantized, "8 bits");
  refuse(teacher != nullptr, "teachers");
  const auto defined = [](const Tensor& one) { return one.defined(); };
  refuse(std::any_of(masks.begin(), masks.end(), defined), "pruned weights");
  refuse(std::any_of(maps.begin(), maps.end(), defined), "pruned maps");
}

ImageLoss ImageNetwork::Impl::planned_step(const ImageInput& input, double learning_rate) {
  check_input(input, /*labelled=*/true);
  if (planned == nullptr) {  // the values were read from a file since
    check_planned();
    planned = std::make_unique<PlannedNetwork>(*this, splits, optimizer_choice(),
                                               options.weight_decay, array);
  }
  const Slice whole{.index = 0, .begin = 0, .size = input.size};
  return planned->step(images_of(input, whole).input, labels_of(input, whole), learning_rate);
}

void ImageNetwork::set_plan(std::shared_ptr<dist::WorkerArray> array,
                            std::vector<parallel::LayerState> splits) {
  impl_->check_planned();
  impl_->planned = std::make_unique<PlannedNetwork>(*impl_, splits, impl_->optimizer_choice(),
                                                    impl_->options.weight_decay, array);
  impl_->array = std::move(array);
  impl_->splits = std::move(splits);
}

void ImageNetwork::settle() {
  if (impl_->planned != nullptr) impl_->planned->give_to(*impl_);
}

NetworkValues ImageNetwork::Impl::leaves_of(std::size_t slice, std::vector<Tensor>& leaves) const {
  NetworkValues own = values;
  if (exchange == nullptr) {
    leaves = parameters;
    return own;
  }
  const auto watch = [&](Tensor& value) {
    if (!value.defined()) return;
    value = value.detach().requires_grad_();
    value.register_hook([this, slice, parameter = leaves.size()](const Tensor& gradient) {
      exchange->put(slice, parameter, gradient);
    });
    leaves.push_back(value);
  };
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    watch(own.weights[i]);
    watch(own.biases[i]);
  }
  return own;
}

void ImageNetwork::Impl::share_slices(std::vector<ImageLoss>& losses,
                                      std::vector<NormStatistics>& statistics,
                                      std::int64_t batch) const {
  const SliceRecord record(values);
  std::vector<std::byte> own(losses.size() * static_cast<std::size_t>(record.bytes()));
  for (std::size_t s = 0; s < losses.size(); ++s) {
    record.write(losses[s], statistics[s],
                 own.data() + s * static_cast<std::size_t>(record.bytes()));
  }
  std::vector<std::int64_t> sizes;
  for (int rank = 0; rank < workers->size(); ++rank) {
    const Range theirs = workers->part_of(rank, batch, slice_size);
    sizes.push_back(slices(theirs.size) * record.bytes());
  }
  const std::vector<std::byte> all = workers->gather(own, sizes, dist::Cause::kControl);
  const auto count = static_cast<std::size_t>(slices(batch));
  losses.resize(count);
  statistics.assign(count, empty_statistics());
  for (std::size_t s = 0; s < count; ++s) {
    record.read(all.data() + s * static_cast<std::size_t>(record.bytes()), losses[s],
                statistics[s]);
  }
}

}  // namespace taut::nn
