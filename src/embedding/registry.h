#pragma once
// The list of methods. Adding one: a file that implements Embedding, its functions declared here,
// one line in registry.cc.

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "taut/core/error.h"
#include "taut/embedding/embedding.h"
#include "taut/embedding/part.h"

namespace taut::embedding {

/// Makes the rows that this process holds of a collection; peers: null where it holds all.
using MakePart = EmbeddingPart (*)(const Options& options, std::shared_ptr<ThreadPool> pool,
                                   std::shared_ptr<Peers> peers);

struct Method {
  std::string_view name;
  /// Makes a whole collection; null: part does.
  std::unique_ptr<Embedding> (*make)(const Options& options, std::shared_ptr<ThreadPool> pool);
  MakePart make_part;  ///< null: it cannot be divided
  std::unique_ptr<FrozenEmbedding> (*open_frozen)(const SectionSource& file,
                                                  const std::string& prefix);
};

/// All methods, in the order of the docs.
[[nodiscard]] std::span<const Method> method_list() noexcept;
/// Throws kind (kConfig for options, kFormat for files) with the nearest known name.
[[nodiscard]] const Method& find_method(const std::string& name, ErrorKind kind,
                                        const std::string& where);

std::unique_ptr<Embedding> make_qr(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_md(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_frequency(const Options& options, std::shared_ptr<ThreadPool> pool);
std::unique_ptr<Embedding> make_fiited(const Options& options, std::shared_ptr<ThreadPool> pool);

EmbeddingPart make_full_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                             std::shared_ptr<Peers> peers);
EmbeddingPart make_hash_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                             std::shared_ptr<Peers> peers);
EmbeddingPart make_row_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                            std::shared_ptr<Peers> peers);
EmbeddingPart make_cafe_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                             std::shared_ptr<Peers> peers);
EmbeddingPart make_elastic_part(const Options& options, std::shared_ptr<ThreadPool> pool,
                                std::shared_ptr<Peers> peers);

std::unique_ptr<FrozenEmbedding> open_full(const SectionSource& file, const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_hash(const SectionSource& file, const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_qr(const SectionSource& file, const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_popularity(const SectionSource& file,
                                                 const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_fiited(const SectionSource& file, const std::string& prefix);
std::unique_ptr<FrozenEmbedding> open_elastic(const SectionSource& file, const std::string& prefix);

}  // namespace taut::embedding
