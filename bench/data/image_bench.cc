// taut_image_bench FILE [--threads=N] [--dump=FILE]: reads a set of images and prints count and
// seconds as JSON; --dump writes the pixels. bench/peers/train_images.py runs it beside Pillow.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "taut/core/error.h"
#include "taut/core/file.h"
#include "taut/data/images.h"

namespace {

void run(int argc, char** argv) {
  taut::data::ImageSourceOptions options;
  std::string dump;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--threads=")) {
      options.threads = std::atoi(argument.c_str() + std::string("--threads=").size());
    } else if (argument.starts_with("--dump=")) {
      dump = argument.substr(std::string("--dump=").size());
    } else if (argument.starts_with("--")) {
      throw taut::Error(taut::ErrorKind::kConfig, "unknown option " + argument);
    } else {
      options.files.push_back(argument);
    }
  }
  const auto started = std::chrono::steady_clock::now();
  const taut::data::ImageSet images = taut::data::read_images(options);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (!dump.empty()) {
    taut::AtomicFile file(dump);
    file.write(images.pixels.data(), images.pixels.size());
    file.commit();
  }
  std::printf("{\"images\": %lld, \"seconds\": %.6f}\n", static_cast<long long>(images.count),
              seconds);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
    return 0;
  } catch (const taut::Error& failed) {
    std::fprintf(stderr, "error: %s\n", failed.what());
    return taut::exit_code(failed.kind());
  }
}
