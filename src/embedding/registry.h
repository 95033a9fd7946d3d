#pragma once
// The list of methods. Adding one: a file that implements Embedding, its functions declared here,
// one line in registry.cc.

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "taut/core/error.h"
#include "taut/embedding/embedding.h"

namespace taut::embedding {

struct Method {
  std::string_view name;
  std::unique_ptr<Embedding> (*make)(const Options& options, std::shared_ptr<ThreadPool> pool);
  std::unique_ptr<FrozenEmbedding> (*open_frozen)(const SectionSource& file,
                                                  const std::string& prefix);
};

/// All methods, in the order of the docs.
[[nodiscard]] std::span<const Method> method_list() noexcept;
/// Throws kind (kConfig for options, kFormat for files) with the nearest known name.
[[nodiscard]] const Method& find_method(const std::string& name, ErrorKind kind,
                                        const std::string& where);

std::unique_ptr<Embedding> make_full(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_hash(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_qr(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_md(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_frequency(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_row(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_cafe(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_fiited(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_elastic(const Options& options, std::shared_ptr<ThreadPool> pool);

std::unique_ptr<FrozenEmbedding> open_full(const SectionSource& file, const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_hash(const SectionSource& file, const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_qr(const SectionSource& file, const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_popularity(const SectionSource& file,
                                                 const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_fiited(const SectionSource& file, const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_elastic(const SectionSource& file, const std::string& prefix);

}  // namespace taut::embedding
