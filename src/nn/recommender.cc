#include "taut/nn/recommender.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "nn/one_thread.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/embedding/interaction.h"
#include "taut/nn/winners.h"

namespace taut::nn {
namespace {

using torch::Tensor;

// Examples in a piece. Fixed, so that sums do not depend on the number of threads.
constexpr std::int64_t kPiece = 512;

// A stack of linear layers with ReLU and the choice of winners between them.
struct Mlp {
  std::vector<Tensor> weights;
  std::vector<Tensor> biases;
  sparsity::WinnersOptions selection;

  [[nodiscard]] Tensor forward(Tensor x, bool relu_last) const {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      x = torch::linear(x, weights[i], biases[i]);
      if (relu_last || i + 1 < weights.size()) x = winners(torch::relu(x), selection);
    }
    return x;
  }
};

Mlp make_mlp(std::int64_t inputs, const std::vector<std::int64_t>& widths, double winner_rate,
             at::Generator& random) {
  Mlp mlp;
  mlp.selection = {.unit = sparsity::Unit::kNeuron, .rate = winner_rate};
  for (const std::int64_t outputs : widths) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(inputs));
    mlp.weights.push_back(torch::empty({outputs, inputs}).uniform_(-bound, bound, random));
    mlp.biases.push_back(torch::empty({outputs}).uniform_(-bound, bound, random));
    inputs = outputs;
  }
  return mlp;
}

embedding::InteractionShape shape_of(const Tensor& x, std::int64_t copied) {
  return {.vectors = x.size(1), .dim = x.size(2), .copied = copied};
}

// x [batch, vectors, dim] -> [batch, outputs], see interaction.h.
class Interaction : public torch::autograd::Function<Interaction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x,
                        std::int64_t copied) {
    const embedding::InteractionShape shape = shape_of(x, copied);
    const Tensor values = x.contiguous();
    Tensor out = torch::empty({x.size(0), shape.outputs()});
    embedding::interact(shape, x.size(0), values.const_data_ptr<float>(),
                        out.mutable_data_ptr<float>());
    context->save_for_backward({values});
    context->saved_data["copied"] = copied;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const Tensor x = context->get_saved_variables()[0];
    const embedding::InteractionShape shape = shape_of(x, context->saved_data["copied"].toInt());
    const Tensor gradient = gradients[0].contiguous();
    Tensor result = torch::empty_like(x);
    embedding::interact_backward(shape, x.size(0), x.const_data_ptr<float>(),
                                 gradient.const_data_ptr<float>(),
                                 result.mutable_data_ptr<float>());
    return {result, Tensor()};
  }
};

Tensor view_of(std::span<const float> values, std::int64_t offset, at::IntArrayRef shape) {
  return torch::from_blob(const_cast<float*>(values.data() + offset), shape, torch::kFloat32);
}

void require_size(std::string_view argument, std::size_t wanted, std::size_t got) {
  if (wanted != got) {
    throw_invalid_argument(concat("size of ", argument), std::to_string(wanted),
                           std::to_string(got));
  }
}

void check_winner_rate(double rate) {
  if (rate > 0 && rate <= 1) return;
  throw Error(ErrorKind::kConfig, concat("model.winner_rate must be in (0, 1], got ", rate));
}

void check_options(const RecommenderOptions& o) {
  const auto bad = [](std::string_view key, std::string_view wanted, const auto& got) {
    throw Error(ErrorKind::kConfig, concat("model.", key, " must be ", wanted, ", got ", got));
  };
  if (o.kind != "dlrm" && o.kind != "wide_deep") bad("kind", "dlrm or wide_deep", o.kind);
  if (o.interaction != "dots" && o.interaction != "dots_vectors") {
    bad("interaction", "dots or dots_vectors", o.interaction);
  }
  if (o.tables < 0 || o.dense < 0 || o.tables + o.dense < 1) {
    bad("inputs", "at least one dense or categorical column", o.tables + o.dense);
  }
  if (o.dim < 1) bad("dim", "at least 1", o.dim);
  for (const auto* widths : {&o.bottom, &o.top}) {
    for (const std::int64_t width : *widths) {
      if (width < 1) bad(widths == &o.top ? "top" : "bottom", "widths of at least 1", width);
    }
  }
  check_winner_rate(o.winner_rate);
  if (!(o.learning_rate > 0)) bad("learning_rate", "above 0", o.learning_rate);
  if (!(o.weight_decay >= 0)) bad("weight_decay", "0 or more", o.weight_decay);
}

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const RecommenderOptions& o,
                                                        const std::vector<Tensor>& parameters) {
  if (o.optimizer == "adam") {
    return std::make_unique<torch::optim::Adam>(
        parameters, torch::optim::AdamOptions(o.learning_rate).weight_decay(o.weight_decay));
  }
  if (o.optimizer == "adagrad") {
    return std::make_unique<torch::optim::Adagrad>(
        parameters, torch::optim::AdagradOptions(o.learning_rate).weight_decay(o.weight_decay));
  }
  if (o.optimizer == "sgd") {
    return std::make_unique<torch::optim::SGD>(
        parameters,
        torch::optim::SGDOptions(o.learning_rate).momentum(0.9).weight_decay(o.weight_decay));
  }
  const std::vector<std::string> known = {"adam", "adagrad", "sgd"};
  throw Error(ErrorKind::kConfig, concat("unknown optimizer \"", o.optimizer, "\""),
              "train.optimizer", suggest(o.optimizer, known));
}

}  // namespace

struct Recommender::Impl {
  Impl(const RecommenderOptions& o, std::shared_ptr<ThreadPool> threads)
      : options(o), pool(std::move(threads)) {
    check_options(o);
    use_one_torch_thread();
    at::Generator random = at::make_generator<at::CPUGeneratorImpl>(o.seed);
    if (o.kind == "dlrm") {
      make_dlrm(random);
    } else {
      make_wide_deep(random);
    }
    collect_parameters();
    optimizer = make_optimizer(o, parameters);
  }

  void make_dlrm(at::Generator& random) {
    if (options.dense > 0) {
      std::vector<std::int64_t> widths = options.bottom;
      widths.push_back(options.dim);
      bottom = make_mlp(options.dense, widths, options.winner_rate, random);
    }
    const std::int64_t vectors = options.tables + (options.dense > 0 ? 1 : 0);
    const bool all = options.interaction == "dots_vectors" || options.dense == 0;
    shape = {.vectors = vectors, .dim = options.dim, .copied = all ? vectors : 1};
    make_top(shape.outputs(), random);
  }

  void make_wide_deep(at::Generator& random) {
    const std::int64_t inputs = options.dense + options.tables * options.dim;
    make_top(inputs, random);
    if (options.dense > 0) wide = torch::zeros({options.dense});
  }

  void make_top(std::int64_t inputs, at::Generator& random) {
    std::vector<std::int64_t> widths = options.top;
    widths.push_back(1);
    top = make_mlp(inputs, widths, options.winner_rate, random);
  }

  void collect_parameters() {
    const auto add = [this](std::string name, Tensor& parameter) {
      parameter.set_requires_grad(true);
      names.push_back(std::move(name));
      parameters.push_back(parameter);
    };
    for (auto& [name, mlp] : {std::pair<const char*, Mlp*>{"bottom", &bottom}, {"top", &top}}) {
      for (std::size_t i = 0; i < mlp->weights.size(); ++i) {
        add(concat(name, ".", i, ".weight"), mlp->weights[i]);
        add(concat(name, ".", i, ".bias"), mlp->biases[i]);
      }
    }
    if (wide.defined()) add("wide.weight", wide);
  }

  [[nodiscard]] Tensor forward(const Tensor& dense, const Tensor& vectors) const {
    return options.kind == "dlrm" ? forward_dlrm(dense, vectors)
                                  : forward_wide_deep(dense, vectors);
  }

  [[nodiscard]] Tensor forward_dlrm(const Tensor& dense, const Tensor& vectors) const {
    Tensor all = vectors;
    if (options.dense > 0) {
      const Tensor from_dense = bottom.forward(dense, /*relu_last=*/true);
      all = torch::cat({from_dense.unsqueeze(1), vectors}, 1);
    }
    const Tensor inputs = Interaction::apply(all, shape.copied);
    return top.forward(inputs, /*relu_last=*/false).squeeze(1);
  }

  [[nodiscard]] Tensor forward_wide_deep(const Tensor& dense, const Tensor& vectors) const {
    const std::int64_t batch = vectors.size(0);
    const Tensor inputs = torch::cat({dense, vectors.reshape({batch, -1})}, 1);
    Tensor logits = top.forward(inputs, /*relu_last=*/false).squeeze(1);
    if (options.tables > 0) logits = logits + vectors.select(2, 0).sum(1);
    if (wide.defined()) logits = logits + torch::mv(dense, wide);
    return logits;
  }

  struct Piece {
    std::int64_t begin;
    std::int64_t size;
    Tensor dense;
    Tensor vectors;
  };

  [[nodiscard]] Piece cut(const RecommenderInput& input, std::int64_t index) const {
    const std::int64_t begin = index * kPiece;
    const std::int64_t size = std::min(kPiece, input.batch - begin);
    return {begin, size, view_of(input.dense, begin * options.dense, {size, options.dense}),
            view_of(input.vectors, begin * options.tables * options.dim,
                    {size, options.tables, options.dim})};
  }

  void check_input(const RecommenderInput& input) const {
    const auto batch = static_cast<std::size_t>(std::max<std::int64_t>(input.batch, 0));
    if (input.batch < 1) throw_invalid_argument("batch", "at least 1", std::to_string(input.batch));
    require_size("dense", batch * static_cast<std::size_t>(options.dense), input.dense.size());
    require_size("vectors", batch * static_cast<std::size_t>(options.tables * options.dim),
                 input.vectors.size());
  }

  // Adds the pieces' gradients in order and takes one step on their mean.
  void step(std::vector<std::vector<Tensor>>& gradients, std::int64_t batch) {
    const torch::NoGradGuard no_grad;
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      Tensor sum = gradients[0][p];
      for (std::size_t piece = 1; piece < gradients.size(); ++piece) sum.add_(gradients[piece][p]);
      parameters[p].mutable_grad() = sum.div_(static_cast<double>(batch));
    }
    optimizer->step();
  }

  RecommenderOptions options;
  std::shared_ptr<ThreadPool> pool;
  Mlp bottom;
  Mlp top;
  Tensor wide;
  embedding::InteractionShape shape;
  std::vector<std::string> names;
  std::vector<Tensor> parameters;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
};

Recommender::Recommender(const RecommenderOptions& options, std::shared_ptr<ThreadPool> pool)
    : impl_(std::make_unique<Impl>(options, std::move(pool))) {}

Recommender::~Recommender() = default;

const RecommenderOptions& Recommender::options() const noexcept {
  return impl_->options;
}

void Recommender::set_winner_rate(double rate) {
  check_winner_rate(rate);
  for (Mlp* mlp : {&impl_->bottom, &impl_->top}) mlp->selection.rate = rate;
}

double Recommender::train_step(const RecommenderInput& input, std::span<const float> labels,
                               std::span<float> logits, std::span<float> vectors_gradient) {
  impl_->check_input(input);
  require_size("labels", static_cast<std::size_t>(input.batch), labels.size());
  require_size("logits", static_cast<std::size_t>(input.batch), logits.size());
  require_size("vectors_gradient", input.vectors.size(), vectors_gradient.size());

  const std::int64_t pieces = (input.batch + kPiece - 1) / kPiece;
  std::vector<std::vector<Tensor>> gradients(static_cast<std::size_t>(pieces));
  std::vector<double> losses(static_cast<std::size_t>(pieces));
  impl_->pool->run(pieces, [&](std::int64_t index) {
    use_one_torch_thread();
    Impl::Piece piece = impl_->cut(input, index);
    piece.vectors.set_requires_grad(true);
    const Tensor logit = impl_->forward(piece.dense, piece.vectors);
    const Tensor loss = torch::binary_cross_entropy_with_logits(
        logit, view_of(labels, piece.begin, {piece.size}), {}, {}, at::Reduction::Sum);
    std::vector<Tensor> wanted = impl_->parameters;
    wanted.push_back(piece.vectors);
    std::vector<Tensor> gradient = torch::autograd::grad({loss}, wanted);
    const Tensor inner = gradient.back().contiguous();
    gradient.pop_back();
    std::memcpy(vectors_gradient.data() + piece.begin * impl_->options.tables * impl_->options.dim,
                inner.const_data_ptr<float>(), inner.nbytes());
    std::memcpy(logits.data() + piece.begin, logit.const_data_ptr<float>(), logit.nbytes());
    losses[static_cast<std::size_t>(index)] = loss.item<double>();
    gradients[static_cast<std::size_t>(index)] = std::move(gradient);
  });
  double loss = 0;
  for (const double piece : losses) loss += piece;
  if (!std::isfinite(loss)) {
    throw Error(ErrorKind::kData, "the loss is not finite", {},
                "look for huge dense values (data.scaling) or lower the learning rates");
  }
  impl_->step(gradients, input.batch);
  return loss;
}

void Recommender::predict(const RecommenderInput& input, std::span<float> logits) const {
  impl_->check_input(input);
  require_size("logits", static_cast<std::size_t>(input.batch), logits.size());
  impl_->pool->run((input.batch + kPiece - 1) / kPiece, [&](std::int64_t index) {
    use_one_torch_thread();
    const torch::NoGradGuard no_grad;
    const Impl::Piece piece = impl_->cut(input, index);
    const Tensor logit = impl_->forward(piece.dense, piece.vectors).contiguous();
    std::memcpy(logits.data() + piece.begin, logit.const_data_ptr<float>(), logit.nbytes());
  });
}

void Recommender::save(SectionSink& file, const std::string& prefix) const {
  torch::serialize::OutputArchive archive;
  for (std::size_t i = 0; i < impl_->parameters.size(); ++i) {
    archive.write(impl_->names[i], impl_->parameters[i].detach());
  }
  torch::serialize::OutputArchive optimizer;
  impl_->optimizer->save(optimizer);
  archive.write("optimizer", optimizer);
  std::ostringstream stream;
  archive.save_to(stream);
  file.add(prefix + "dense", std::string_view(stream.view()));
}

void Recommender::load(const SectionSource& file, const std::string& prefix) {
  const std::string_view bytes = file.text(prefix + "dense");
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> loaded(impl_->parameters.size());
  try {
    torch::serialize::InputArchive archive;
    archive.load_from(bytes.data(), bytes.size());
    for (std::size_t i = 0; i < loaded.size(); ++i) {
      archive.read(impl_->names[i], loaded[i]);
      if (!loaded[i].sizes().equals(impl_->parameters[i].sizes())) {
        throw Error(ErrorKind::kFormat, concat("shape of ", impl_->names[i], " differs"),
                    file.path(), "use the config that the checkpoint was made with");
      }
    }
    torch::serialize::InputArchive optimizer;
    archive.read("optimizer", optimizer);
    impl_->optimizer->load(optimizer);
  } catch (const c10::Error& failed) {
    throw Error(ErrorKind::kFormat,
                concat("the dense model does not fit: ", failed.what_without_backtrace()),
                file.path(), "use the config that the checkpoint was made with");
  }
  for (std::size_t i = 0; i < loaded.size(); ++i) impl_->parameters[i].copy_(loaded[i]);
}

std::vector<NamedTensor> Recommender::parameters() const {
  std::vector<NamedTensor> result;
  for (std::size_t i = 0; i < impl_->parameters.size(); ++i) {
    const Tensor values = impl_->parameters[i].detach().contiguous();
    const float* data = values.const_data_ptr<float>();
    result.push_back({impl_->names[i], values.sizes().vec(), {data, data + values.numel()}});
  }
  return result;
}

std::int64_t Recommender::parameter_count() const {
  std::int64_t count = 0;
  for (const Tensor& parameter : impl_->parameters) count += parameter.numel();
  return count;
}

}  // namespace taut::nn
