// Saving and restoring an ImageNetwork.
#include <sstream>

#include "nn/image_network_impl.h"
#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::nn {
namespace {

using torch::Tensor;

constexpr const char* kMend = "use the config that it was made with";

[[noreturn]] void throw_shape(const std::string& path, const std::string& name,
                              const Tensor& wanted, const Tensor& got) {
  throw Error(ErrorKind::kFormat,
              concat("shape of ", name, " differs: wanted ", c10::str(wanted.sizes()), ", got ",
                     c10::str(got.sizes())),
              path, kMend);
}

// Reads a tensor of the shape of `like`.
Tensor read_like(torch::serialize::InputArchive& archive, const std::string& path,
                 const std::string& name, const Tensor& like) {
  Tensor loaded;
  archive.read(name, loaded);
  if (!loaded.sizes().equals(like.sizes())) throw_shape(path, name, like, loaded);
  return loaded;
}

}  // namespace

void ImageNetwork::save(SectionSink& file, const std::string& prefix) const {
  torch::serialize::OutputArchive archive;
  visit_values(impl_->spec, impl_->values,
               [&](const std::string& name, const Tensor& t) { archive.write(name, t.detach()); });
  visit_values(impl_->spec, impl_->average, [&](const std::string& name, const Tensor& t) {
    archive.write("average." + name, t);
  });
  for (std::size_t i = 0; i < impl_->masks.size(); ++i) {
    const std::string& name = impl_->spec.layers[i].name;
    if (impl_->masks[i].defined()) archive.write(name + ".mask", impl_->masks[i]);
    if (impl_->maps[i].defined()) archive.write(name + ".maps", impl_->maps[i]);
  }
  torch::serialize::OutputArchive optimizer;
  impl_->optimizer->save(optimizer);
  archive.write("optimizer", optimizer);
  std::ostringstream stream;
  archive.save_to(stream);
  file.add(prefix + "network", std::string_view(stream.view()));
  file.add_array(prefix + "codes", std::span<const InputCodes>(impl_->codes));
  const std::vector<double> switches = {impl_->quantized ? 1.0 : 0.0};
  file.add_array(prefix + "quantized", std::span<const double>(switches));
  file.add_array(prefix + "rates", std::span<const double>(impl_->options.winners.rates));
}

void ImageNetwork::load(const SectionSource& file, const std::string& prefix, bool state) {
  const std::string_view bytes = file.text(prefix + "network");
  const torch::NoGradGuard no_grad;
  const std::string path(file.path());
  std::vector<std::pair<Tensor, Tensor>> loaded;  // where to, what
  std::vector<Tensor> masks(impl_->masks.size());
  std::vector<Tensor> maps(impl_->maps.size());
  try {
    torch::serialize::InputArchive archive;
    archive.load_from(bytes.data(), bytes.size());
    visit_values(impl_->spec, impl_->values, [&](const std::string& name, const Tensor& t) {
      loaded.emplace_back(t, read_like(archive, path, name, t));
    });
    visit_values(impl_->spec, impl_->average, [&](const std::string& name, const Tensor& t) {
      loaded.emplace_back(t, read_like(archive, path, "average." + name, t));
    });
    for (std::size_t i = 0; i < masks.size(); ++i) {
      archive.try_read(impl_->spec.layers[i].name + ".mask", masks[i]);
      archive.try_read(impl_->spec.layers[i].name + ".maps", maps[i]);
    }
    if (state) {
      torch::serialize::InputArchive optimizer;
      archive.read("optimizer", optimizer);
      impl_->optimizer->load(optimizer);
    }
  } catch (const c10::Error& failed) {
    throw Error(ErrorKind::kFormat,
                concat("the network does not fit: ", failed.what_without_backtrace()), path, kMend);
  }
  const auto codes = file.array<InputCodes>(prefix + "codes");
  for (auto& [target, value] : loaded) target.copy_(value);
  impl_->masks = std::move(masks);
  impl_->maps = std::move(maps);
  impl_->codes.assign(codes.begin(), codes.end());
  impl_->quantized = file.array<double>(prefix + "quantized").front() != 0;
  if (state) {
    const auto rates = file.array<double>(prefix + "rates");
    impl_->options.winners.rates.assign(rates.begin(), rates.end());
  }
}

}  // namespace taut::nn
