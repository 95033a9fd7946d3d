#include "nn/fork_safe_mutex.h"

#include <pthread.h>

#include <set>

namespace taut::nn {
namespace {

// All mutexes there are. A fork holds every one of them, and the list, while it happens.
struct Mutexes {
  std::mutex mutex;
  std::set<ForkSafeMutex*> all;
};

Mutexes& mutexes() {
  static Mutexes& instance = *new Mutexes;  // never destroyed: mutexes may outlive other statics
  return instance;
}

void hold_all() {
  mutexes().mutex.lock();
  for (ForkSafeMutex* one : mutexes().all) one->lock();
}

void release_all() {
  for (ForkSafeMutex* one : mutexes().all) one->unlock();
  mutexes().mutex.unlock();
}

}  // namespace

ForkSafeMutex::ForkSafeMutex() {
  static const int registered = ::pthread_atfork(hold_all, release_all, release_all);
  static_cast<void>(registered);
  const std::lock_guard lock(mutexes().mutex);
  mutexes().all.insert(this);
}

ForkSafeMutex::~ForkSafeMutex() {
  const std::lock_guard lock(mutexes().mutex);
  mutexes().all.erase(this);
}

}  // namespace taut::nn
