// taut info [FILE]
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/data_info.h"
#include "cli/model_info.h"
#include "cli/network_source.h"
#include "cli/version.h"
#include "core/json_text.h"
#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/core/snapshot.h"
#include "taut/core/text.h"
#include "taut/core/thread_pool.h"
#include "taut/embedding/embedding.h"
#include "taut/embedding/option_list.h"
#include "taut/graph/network_json.h"
#include "taut/graph/zoo.h"
#include "taut/infer/engine.h"
#include "taut/infer/package.h"
#if TAUT_CLI_DATA
#include "taut/data/images.h"
#include "taut/data/table_info.h"
#endif

namespace taut::cli {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

Json build_info() {
  return {{"version", kVersion},
          {"instruction_set", infer::kernel_target()},
          {"processors", ThreadPool(0).threads()},
          {"methods", embedding::methods()}};
}

Json options_info() {
  Json list = Json::array();
  for (const embedding::OptionFacts& one : embedding::option_facts()) {
    list.push_back({{"key", one.key},
                    {"default", one.initial},
                    {"range", one.range},
                    {"help", one.help},
                    {"config", one.in_config},
                    {"python", one.in_python}});
  }
  return {{"embedding", list}};
}

Json run_info(const std::string& run) {
  Json info = {{"kind", "run"}, {"config", read_file(run + "/config.toml")}};
  if (fs::exists(run + "/summary.json")) {
    info["summary"] = read_json_object(run + "/summary.json");
  }
  Json checkpoints = Json::array();
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoint", ignored)) {
    checkpoints.push_back({{"file", entry.path().string()}, {"bytes", entry.file_size()}});
  }
  info["checkpoints"] = checkpoints;
  return info;
}

// A file of ours: its sections, each verified against its checksum.
template <typename Reader>
Json sections_info(const Reader& file, const std::string& kind) {
  Json sections = Json::object();
  for (const std::string& name : file.names()) {
    sections[name] = file.section(name).size();
  }
  Json info = {{"kind", kind}, {"sections", sections}};
  if (file.has("metadata")) info["metadata"] = parse_json_section(file, "metadata");
  if (file.has("state")) info["state"] = parse_json_section(file, "state");
  return info;
}

Json file_info(const std::string& path) {
  const SectionIdentity identity = identify_sections(path);
  if (identity.kind == infer::kPackageKind) {
    return sections_info(infer::Package(path).file(), identity.kind);
  }
  const SectionReader file(path, identity.kind, identity.version);
  if (!is_snapshot(file)) return sections_info(file, identity.kind);
  return sections_info(SnapshotReader(path, {.kind = identity.kind, .version = identity.version}),
                       identity.kind);
}

// A network that a run or file describes; nothing for others.
std::optional<graph::Network> network_in(const std::string& source, bool is_run) {
  const bool described = is_run ? fs::exists(fs::path(source) / graph::kNetworkFile)
                                : SectionReader(source, identify_sections(source).kind,
                                                identify_sections(source).version)
                                      .has(graph::kNetworkSection);
  if (!described) return std::nullopt;
  return source_network(source, {});
}

bool is_model(Source source) {
  return source == Source::kName || source == Source::kToml || source == Source::kConfig ||
         source == Source::kOnnx || source == Source::kGraph;
}

[[noreturn]] void throw_unknown(const std::string& source) {
  throw Error(ErrorKind::kNotFound, "no file, run or network of this name", source,
              suggest(source, graph::network_names()));
}

void print_info(const Json& info) {
  for (const auto& [key, value] : info.items()) {
    if (key == "network") continue;  // a table of its own
    if (value.is_object()) {
      std::cout << key << ":\n";
      for (const auto& [name, inner] : value.items())
        std::cout << "  " << one_line(name) << ": " << json_text(inner) << "\n";
    } else if (value.is_string()) {
      std::cout << key << ": " << value.get<std::string>() << "\n";
    } else {
      std::cout << key << ": " << json_text(value) << "\n";
    }
  }
}

}  // namespace

Command add_info(CLI::App& root, const Globals& globals) {
  CLI::App* app =
      root.add_subcommand("info", "This build; or what a run, checkpoint, package or model holds");
  auto source = std::make_shared<std::string>();
  app->add_option(
      "FILE", *source,
      "A run folder, a file of ours, a training config, an .onnx file, a zoo model, a set "
      "of images or a table");
  auto options = std::make_shared<bool>(false);
  app->add_flag("--options", *options,
                "The options of embeddings: defaults, ranges, meaning (a table in Markdown)");
  auto dimensions = std::make_shared<std::vector<std::string>>();
  add_dimension_option(*app, *dimensions);
  return {app, [source, options, dimensions, &globals]() -> Outcome {
            if (*options) {
              if (!globals.json) std::cout << embedding::option_table();
              return {options_info()};
            }
            if (source->empty()) {
              const Json info = build_info();
              if (!globals.json) print_info(info);
              return {info};
            }
            const graph::DimensionSizes sizes = dimension_sizes(*dimensions);
            if (is_model(source_of(*source))) return model_info(*source, globals, sizes);
            if (!sizes.empty()) {
              throw Error(ErrorKind::kConfig, "--dim is for ONNX files", *source, "leave it out");
            }
            if (!globals.sets.empty()) {
              throw Error(ErrorKind::kConfig,
                          concat("settings are for models, got \"", globals.sets.front(), "\""),
                          *source, "leave --set out");
            }
#if TAUT_CLI_DATA
            if (data::holds_images(*source)) return images_info(*source, globals);
#endif
            std::error_code ignored;
            if (!fs::exists(*source, ignored)) throw_unknown(*source);
#if TAUT_CLI_DATA
            if (fs::is_regular_file(*source) && data::is_table(*source)) {
              return table_info(*source, globals);
            }
#endif
            const bool is_run = fs::is_directory(*source);
            if (is_run && !fs::exists(*source + "/config.toml")) {
              throw Error(ErrorKind::kNotFound, "not a run: config.toml is missing", *source);
            }
            Json info = is_run ? run_info(*source) : file_info(*source);
            const std::optional<graph::Network> network = network_in(*source, is_run);
            if (network) info["network"] = network_info(*network);
            if (!globals.json) {
              print_info(info);
              if (network) std::cout << "\n" << network_text(*network);
            }
            return {info};
          }};
}

}  // namespace taut::cli
