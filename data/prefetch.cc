#include "ramp/data/prefetch.h"

#include <utility>

#include "ramp/core/parallel.h"

namespace ramp {

Prefetch::Prefetch(Batches::Epoch epoch, int64_t ahead) : epoch_(std::move(epoch)), ahead_(ahead) {
  if (ahead < 1) fail("prefetch: expected at least 1 batch ahead; got {}.", ahead);
  thread_ = std::thread([this] { work(); });
}

Prefetch::~Prefetch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Prefetch::work() {
  const NoThreads beside_the_pool;
  std::exception_ptr error;
  try {
    for (int64_t i = epoch_.first(); i < epoch_.count(); ++i) {
      Dataset batch = epoch_.batch(i);
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stop_ || std::ssize(ready_) < ahead_; });
      if (stop_) return;
      ready_.push_back(std::move(batch));
      changed_.notify_all();
    }
  } catch (...) {
    error = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  done_ = true;
  changed_.notify_all();
}

std::optional<Dataset> Prefetch::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ || !ready_.empty(); });
  if (ready_.empty()) {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return std::nullopt;
  }
  std::optional<Dataset> batch(std::move(ready_.front()));
  ready_.pop_front();
  changed_.notify_all();
  return batch;
}

}  // namespace ramp
