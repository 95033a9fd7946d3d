#include "cli/image_info.h"

#include <iostream>
#include <vector>

#include "taut/core/text.h"
#include "taut/data/images.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

std::vector<std::int64_t> count_classes(const data::ImageSet& images) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(images.classes));
  for (const std::int32_t label : images.labels) ++counts[static_cast<std::size_t>(label)];
  return counts;
}

void print(const data::ImageSet& images, const std::vector<std::int64_t>& counts,
           const data::Normalization& normalization) {
  std::cout << images.count << " images of " << images.height << " x " << images.width << ", "
            << (images.channels == 1 ? "grey" : "colour") << ", " << images.classes
            << " classes\nmean ";
  for (const float mean : normalization.mean) std::cout << mean << " ";
  std::cout << "deviation ";
  for (const float deviation : normalization.deviation) std::cout << deviation << " ";
  std::cout << "(of values in 0..1)\nimages of each class:\n";
  for (std::size_t c = 0; c < counts.size(); ++c) {
    std::cout << "  " << (images.class_names.empty() ? concat(c) : images.class_names[c]) << ": "
              << counts[c] << "\n";
  }
}

}  // namespace

Outcome image_info(const std::string& name, const Globals& globals) {
  data::ImageSourceOptions options;
  options.files = {name};
  options.threads = globals.threads;
  const data::ImageSet images = data::read_images(options);
  const std::vector<std::int64_t> counts = count_classes(images);
  const data::Normalization normalization = data::measure_normalization(images, globals.threads);
  if (!globals.json) print(images, counts, normalization);
  return {Json{{"kind", "images"},
               {"count", images.count},
               {"height", images.height},
               {"width", images.width},
               {"channels", images.channels},
               {"classes", images.classes},
               {"class_names", images.class_names},
               {"images_per_class", counts},
               {"mean", normalization.mean},
               {"deviation", normalization.deviation},
               {"bytes", images.pixels.size()}}};
}

}  // namespace taut::cli
