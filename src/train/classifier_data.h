#pragma once
// Images between files and networks.

#include <cstdint>
#include <string>
#include <vector>

#include "taut/train/classifier.h"

namespace taut::train {

/// Images of files, in the format that a network reads; null: they say what it is. limit: the first
/// so many, 0: all. pool: decodes them; null: threads of their own. Errors: kData for images of
/// another size; those of data::read_images.
[[nodiscard]] data::ImageSet read_set(const ImageConfig& config,
                                      const std::vector<std::string>& files,
                                      const ImageFormat* format, std::shared_ptr<ThreadPool> pool,
                                      std::int64_t limit);

/// Throws kFormat, naming where and the field, for a format that no set of images has.
void check_format(const ImageFormat& format, const std::string& where);

[[nodiscard]] nn::ImageInput view_of(const data::ImageBatch& batch);

/// The first images of a set, as the network reads them.
[[nodiscard]] data::ImageBatch first_images(const data::ImageSet& images,
                                            const data::Normalization& scaling, std::int64_t count);

}  // namespace taut::train
