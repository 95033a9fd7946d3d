#include "train/metrics_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "taut/core/error.h"
#include "taut/core/text.h"

namespace taut::train {

void MetricsFile::throw_io(const char* action) const {
  throw Error(ErrorKind::kIo, concat("cannot ", action, ": ", std::strerror(errno)), path_);
}

void MetricsFile::open_at(std::int64_t bytes) {
  file_.reset(std::fopen(path_.c_str(), "ab"));
  if (file_ == nullptr) throw_io("write the file");
  if (std::fseek(file_.get(), 0, SEEK_END) != 0) throw_io("seek in the file");
  if (std::ftell(file_.get()) < bytes) {
    throw Error(ErrorKind::kFormat, "the file is shorter than the checkpoint says", path_,
                "restore it, or start the run anew in another folder");
  }
  if (::ftruncate(::fileno(file_.get()), bytes) != 0) throw_io("cut the file");
  bytes_ = bytes;
}

void MetricsFile::append(const nlohmann::ordered_json& line) {
  const std::string text = line.dump() + "\n";
  const bool written = std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size();
  if (!written || std::fflush(file_.get()) != 0) throw_io("write the file");
  bytes_ += static_cast<std::int64_t>(text.size());
}

void MetricsFile::flush() {
  if (::fsync(::fileno(file_.get())) != 0) throw_io("flush the file");
}

}  // namespace taut::train
