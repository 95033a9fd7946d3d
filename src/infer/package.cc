#include "taut/infer/package.h"

#include <array>
#include <utility>

#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/text.h"
#include "taut/graph/network_json.h"

namespace taut::infer {
namespace {

using Json = nlohmann::json;

constexpr const char* kMetadata = "metadata";
constexpr const char* kTables = "embedding/";
constexpr const char* kMend = "export the run again";

// Visits (section, array) of every array that a layer may have: one list for both directions.
template <typename Values, typename Visit>
void visit_arrays(const std::string& layer, Values& values, Visit&& visit) {
  visit("weights/" + layer + ".weight", values.weight);
  visit("codes/" + layer, values.codes);
  visit("scales/" + layer, values.code_scales);
  visit("weights/" + layer + ".bias", values.bias);
  visit("weights/" + layer + ".mean", values.mean);
  visit("weights/" + layer + ".variance", values.variance);
  visit("maps/" + layer, values.kept_maps);
}

// Opens the file, if it is a package of this version; those of earlier ones are named.
SectionReader open_file(MappedFile file, const std::string& path) {
  const SectionIdentity found = identify_sections(file.bytes(), path);
  const bool images = found.kind == "imgpkg";  // networks for images, before there was one kind
  if (images || (found.kind == kPackageKind && found.version < kPackageVersion)) {
    throw Error(
        ErrorKind::kFormat,
        concat("a package of an earlier taut: kind ", found.kind, ", version ", found.version,
               ", where this build reads kind ", kPackageKind, ", version ", kPackageVersion),
        path, kMend);
  }
  return {std::move(file), path, kPackageKind, kPackageVersion};
}

[[noreturn]] void throw_bad_section(const SectionReader& file, const char* name,
                                    const std::string& what) {
  throw Error(ErrorKind::kFormat, concat("section \"", name, "\" is wrong: ", what), file.path(),
              kMend);
}

void read_metadata(const SectionReader& file, Model& model) {
  try {
    const Json json = parse_json(file.text(kMetadata));
    json.at("task").get_to(model.task);
    model.input = json.at("input").dump();
    model.facts = json.at("facts").dump();
  } catch (const Json::exception& failed) {
    throw_bad_section(file, kMetadata, failed.what());
  } catch (const Error& failed) {
    throw_bad_section(file, kMetadata, failed.what());
  }
}

Model read_model(const SectionReader& file) {
  Model model;
  read_metadata(file, model);
  const std::string_view described = file.text(graph::kNetworkSection);
  try {
    static_cast<void>(parse_json(described));  // also what nobody reads must not lie too deep
  } catch (const Error& failed) {
    throw_bad_section(file, graph::kNetworkSection, failed.what());
  }
  model.network = graph::parse_network_json(described, file.path());
  graph::Network& network = model.network;
  network.values.resize(network.layers.size());
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    visit_arrays(network.layers[i].name, network.values[i],
                 [&]<typename T>(const std::string& name, std::span<const T>& array) {
                   if (file.has(name)) array = file.array<T>(name);
                 });
  }
  check_model(model, ErrorKind::kFormat, file.path());
  return model;
}

// What of a network's tables does not fit those that are there; "" when all does.
std::string wrong_tables(const graph::Network& network, std::int64_t tables, int dim) {
  if (static_cast<std::int64_t>(network.tables.size()) != tables) {
    return concat(network.tables.size(), " tables in the network, ", tables, " beside it");
  }
  for (const graph::Table& table : network.tables) {
    if (table.dim == dim) continue;
    return concat("table ", table.name, " of ", table.dim, " values a row in the network, of ", dim,
                  " beside it");
  }
  return {};
}

}  // namespace

Bytes write_package(const std::string& path, const Model& model,
                    const embedding::Embedding* tables) {
  check_model(model, ErrorKind::kInvalidArgument, path);
  const embedding::Options none;
  const embedding::Options& options = tables == nullptr ? none : tables->options();
  const std::string wrong =
      wrong_tables(model.network, static_cast<std::int64_t>(options.tables.size()), options.dim);
  if (!wrong.empty()) throw Error(ErrorKind::kInvalidArgument, wrong, path);
  SectionWriter file(path, kPackageKind, kPackageVersion);
  file.add(kMetadata, Json{{"task", model.task},
                           {"input", parse_json(model.input)},
                           {"facts", parse_json(model.facts)}}
                          .dump());
  file.add(graph::kNetworkSection, graph::network_json(model.network));
  for (std::size_t i = 0; i < model.network.layers.size(); ++i) {
    visit_arrays(model.network.layers[i].name, model.network.values[i],
                 [&]<typename T>(const std::string& name, const std::span<const T>& array) {
                   if (!array.empty()) file.add_array(name, array);
                 });
  }
  if (tables != nullptr) tables->export_frozen(file, kTables);
  return file.commit();
}

Package::Package(const std::string& path) : Package(MappedFile(path), path) {}

Package::Package(std::span<const std::byte> bytes, const std::string& name)
    : Package(MappedFile(bytes), name) {}

Package::Package(MappedFile file, const std::string& path)
    : file_(open_file(std::move(file), path)), model_(read_model(file_)) {
  if (model_.network.tables.empty()) return;
  tables_ = embedding::open_frozen(file_, kTables);
  const std::string wrong = wrong_tables(model_.network, tables_->tables(), tables_->dim());
  if (!wrong.empty()) throw Error(ErrorKind::kFormat, wrong, path, kMend);
}

}  // namespace taut::infer
