// taut export RUN FILE
#include <filesystem>
#include <iostream>

#include "cli/command.h"
#include "taut/core/error.h"
#include "taut/core/units.h"
#include "taut/infer/image_package.h"
#include "taut/infer/onnx_writer.h"
#include "taut/infer/package.h"
#include "taut/train/image_export.h"
#include "taut/train/model.h"
#include "taut/train/run.h"

namespace taut::cli {
namespace {

using Json = nlohmann::json;

// Bytes of each part of a package: what stands before the first slash of a section's name.
Json part_bytes(const SectionReader& file) {
  Json parts = Json::object();
  for (const std::string& name : file.names()) {
    const std::string part = name.substr(0, name.find('/'));
    parts[part] = parts.value(part, std::int64_t{0}) + file.section_bytes(name).count;
  }
  return parts;
}

Json package_result(const std::string& path, Bytes size, const SectionReader& file,
                    const std::string& source) {
  return {
      {"package", path}, {"bytes", size.count}, {"parts", part_bytes(file)}, {"source", source}};
}

bool wants_onnx(const std::string& file) {
  return std::filesystem::path(file).extension() == ".onnx";
}

Json export_recommender(const train::RecommenderRun& run, const std::string& file,
                        const std::string& folder) {
  if (wants_onnx(file)) {
    throw Error(ErrorKind::kUnsupported, "recommenders are exported as packages, not as ONNX",
                folder, "name a file that does not end in .onnx");
  }
  const Bytes size = run.model->export_package(file, train::package_metadata(run));
  return package_result(file, size, infer::Package(file).file(), run.checkpoint);
}

Json export_images(const train::ImageRun& run, const std::string& file, const std::string& folder) {
  const train::FrozenImageModel frozen(*run.network, run.format.normalization,
                                       run.format.class_names);
  const std::string facts = train::export_facts(folder, run).dump();
  if (wants_onnx(file)) {
    const infer::OnnxContents onnx = infer::write_onnx(file, frozen.model(), facts);
    return {{"model", file},
            {"bytes", onnx.size.count},
            {"operator_set", onnx.operator_set},
            {"operators", onnx.operators},
            {"source", run.checkpoint}};
  }
  const Bytes size = infer::write_image_package(file, frozen.model(), facts);
  return package_result(file, size, infer::ImagePackage(file).file(), run.checkpoint);
}

Json export_run(const std::string& run, const std::string& file, int threads) {
  const train::OpenedRun opened = train::open_run(run, threads);
  if (const auto recommender = opened.task->recommender(opened.checkpoint)) {
    return export_recommender(*recommender, file, run);
  }
  return export_images(train::images_of(opened, "export"), file, run);
}

void print(const std::string& file, const Json& result) {
  std::cout << file << ": " << format_bytes(Bytes{result["bytes"].get<std::int64_t>()}) << "\n";
  if (result.contains("operators")) {
    std::cout << "  ONNX, operator set " << result["operator_set"] << ":";
    for (const auto& [name, count] : result["operators"].items()) {
      std::cout << " " << name << " " << count;
    }
    std::cout << "\n";
    return;
  }
  for (const auto& [part, bytes] : result["parts"].items()) {
    std::cout << "  " << part << ": " << format_bytes(Bytes{bytes.get<std::int64_t>()}) << "\n";
  }
}

}  // namespace

Command add_export(CLI::App& root, const Globals& globals) {
  struct Options {
    std::string run;
    std::string file;
  };
  CLI::App* app = root.add_subcommand("export", "Write a trained run as one frozen file");
  auto o = std::make_shared<Options>();
  app->add_option("RUN", o->run, "Folder of the run")->required();
  app->add_option("FILE", o->file, "File to write: .onnx for ONNX (images), else a package")
      ->required();
  return {app, [o, &globals] {
            const Json result = export_run(o->run, o->file, globals.threads);
            if (!globals.json) print(o->file, result);
            return Outcome{result};
          }};
}

}  // namespace taut::cli
