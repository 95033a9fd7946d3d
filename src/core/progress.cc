#include "taut/core/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "taut/core/text.h"

namespace taut {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kQuiet{2};
constexpr std::chrono::milliseconds kBetweenDraws{100};

std::string short_number(double value) {
  constexpr std::array<const char*, 4> kSuffixes = {"", "k", "M", "G"};
  std::size_t suffix = 0;
  while (value >= 1000 && suffix + 1 < kSuffixes.size()) {
    value /= 1000;
    ++suffix;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value >= 100 || suffix == 0 ? "%.0f%s" : "%.1f%s", value,
                kSuffixes[suffix]);
  return text.data();
}

std::string short_time(double seconds) {
  const long whole = std::lround(seconds);
  std::array<char, 48> text{};
  if (whole >= 3600) {
    std::snprintf(text.data(), text.size(), "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60,
                  whole % 60);
  } else {
    std::snprintf(text.data(), text.size(), "%ld:%02ld", whole / 60, whole % 60);
  }
  return text.data();
}

}  // namespace

std::string format_progress(std::string_view label, std::int64_t done, std::int64_t total,
                            std::string_view unit, double seconds, std::string_view note) {
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string line(label);
  if (total > 0) {
    constexpr int kWidth = 20;
    const double share = static_cast<double>(done) / static_cast<double>(total);
    const int filled = std::min(kWidth, static_cast<int>(share * kWidth));
    line += concat(" ", static_cast<int>(share * 100), "% [", std::string(filled, '#'),
                   std::string(kWidth - filled, ' '), "] ");
    line +=
        short_number(static_cast<double>(done)) + "/" + short_number(static_cast<double>(total));
  } else {
    line += " " + short_number(static_cast<double>(done));
  }
  line += concat(" ", unit, ", ", short_number(rate), "/s");
  if (total > done && rate > 0) {
    line += ", " + short_time(static_cast<double>(total - done) / rate) + " left";
  }
  if (!note.empty()) line += concat(", ", note);
  return line;
}

struct ProgressBar::Impl {
  std::string label;
  std::int64_t total;
  std::string unit;
  bool terminal = isatty(STDERR_FILENO) == 1;
  Clock::time_point start = Clock::now();
  Clock::time_point last_draw = start;
  bool drawn = false;
};

ProgressBar::ProgressBar(std::string label, std::int64_t total, std::string unit)
    : impl_(std::make_unique<Impl>(Impl{std::move(label), total, std::move(unit)})) {}

ProgressBar::~ProgressBar() {
  if (impl_->drawn) std::fputs("\r\033[K", stderr);
}

void ProgressBar::update(std::int64_t done, std::string_view note) {
  if (!impl_->terminal) return;
  const Clock::time_point now = Clock::now();
  if (now - impl_->start < kQuiet || now - impl_->last_draw < kBetweenDraws) return;
  impl_->last_draw = now;
  impl_->drawn = true;
  const double seconds = std::chrono::duration<double>(now - impl_->start).count();
  const std::string line =
      format_progress(impl_->label, done, impl_->total, impl_->unit, seconds, note);
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
}

}  // namespace taut
