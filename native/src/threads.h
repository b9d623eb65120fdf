// Sharing of work on XLA's own threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "problem.h"
#include "xla/ffi/api/ffi.h"

namespace fedket {

// Every thread takes the next item until none is left. The caller takes part, so nothing waits for
// a thread that is not running.
struct Sharing {
  const std::function<void(int64_t)>* work;
  int64_t items;
  std::atomic<int64_t> next{0};
  int64_t finished = 0;
  std::mutex mutex;
  std::condition_variable all_finished;

  void take() {
    for (int64_t item = next++; item < items; item = next++) {
      (*work)(item);
      const std::lock_guard<std::mutex> lock(mutex);
      if (++finished == items) all_finished.notify_one();
    }
  }
};

// Work on one thread unless it is worth waking others.
inline ForEach on_threads(xla::ffi::ThreadPool pool, bool shared) {
  return [=](int64_t items, const std::function<void(int64_t)>& work) mutable {
    const int64_t threads = shared ? std::min(pool.num_threads(), items) : 1;
    if (threads < 2) {
      for (int64_t item = 0; item < items; ++item) work(item);
      return;
    }
    const auto sharing = std::make_shared<Sharing>();
    sharing->work = &work, sharing->items = items;
    for (int64_t i = 1; i < threads; ++i) pool.Schedule([sharing] { sharing->take(); });
    sharing->take();
    std::unique_lock<std::mutex> lock(sharing->mutex);
    sharing->all_finished.wait(lock, [&] { return sharing->finished == items; });
  };
}

}  // namespace fedket
