#include "ramp/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "ramp/core/error.h"

namespace ramp {
namespace {

constexpr int kMaxThreads = 256;
// About 20 us of waiting before a thread sleeps. Longer spinning steals the core from others.
constexpr int kSpins = 2000;

thread_local bool in_parallel = false;

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// One job at a time. A worker that wakes late finds the job closed and is not waited for, so a
// small job never costs more than doing it alone. Each thread has neighbouring chunks and takes
// from others' only when its own are done: at an edge between two threads' memory the prefetcher
// takes lines from the other core, and an array keeps its place in the caches from op to op.
class Pool {
 public:
  explicit Pool(int threads) : shares_(static_cast<size_t>(threads)) {
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    } catch (const std::system_error&) {
      // The system gives no more threads: fewer do the same work.
    }
  }
  ~Pool() {
    stop_ = true;
    start_round();
    for (std::thread& t : workers_) t.join();
  }

  // False when another thread's job is running.
  bool run(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> f) {
    const std::unique_lock one_job(run_mutex_, std::try_to_lock);
    if (!one_job) return false;
    n_ = n;
    grain_ = grain;
    f_ = &f;
    const int64_t chunks = ceil_div(n, grain), threads = std::ssize(shares_);
    for (int64_t i = 0; i < threads; ++i) {
      shares_[i].next.store(chunks * i / threads, std::memory_order_relaxed);
      shares_[i].end = chunks * (i + 1) / threads;
    }
    open_.store(true);
    start_round();
    take_chunks(0);
    open_.store(false);
    for (int i = 0; active_.load() > 0; ++i)
      i < kSpins ? pause_briefly() : std::this_thread::yield();
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return true;
  }

 private:
  // The chunks [next, end).
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  void start_round() {
    round_.fetch_add(1);
    round_.notify_all();
  }

  void take_chunks(size_t first) {
    in_parallel = true;
    for (size_t i = 0; i < shares_.size(); ++i) take_share(shares_[(first + i) % shares_.size()]);
    in_parallel = false;
  }

  void take_share(Share& share) {
    for (int64_t i; (i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) {
      try {
        (*f_)(i * grain_, std::min(n_, (i + 1) * grain_));
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        for (Share& s : shares_) s.next.store(s.end, std::memory_order_relaxed);
      }
    }
  }

  void work(size_t i) {
    uint32_t seen = 0;
    while (!stop_) {
      for (int k = 0; k < kSpins && round_.load(std::memory_order_acquire) == seen; ++k)
        pause_briefly();
      round_.wait(seen);  // sleeps unless it has changed
      seen = round_.load();
      active_.fetch_add(1);
      if (open_.load()) take_chunks(i);
      active_.fetch_sub(1);
    }
  }

  std::vector<Share> shares_;
  std::vector<std::thread> workers_;
  std::mutex run_mutex_, mutex_;
  std::atomic<int> active_{0};
  std::atomic<bool> open_{false}, stop_{false};
  std::atomic<uint32_t> round_{0};
  int64_t n_ = 0, grain_ = 1;
  FunctionRef<void(int64_t, int64_t)>* f_ = nullptr;
  std::exception_ptr error_;
};

int threads_at_start() {
  if (const char* text = std::getenv("RAMP_NUM_THREADS"); text && *text) {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    fail_if(*end != 0 || n < 1 || n > kMaxThreads,
            "RAMP_NUM_THREADS: expected a number from 1 to {}; got \"{}\".", kMaxThreads, text);
    return static_cast<int>(n);
  }
  const int n = static_cast<int>(std::thread::hardware_concurrency());
  return n < 1 ? 1 : n > kMaxThreads ? kMaxThreads : n;
}

struct Threads {
  std::mutex mutex;
  std::atomic<int> count{threads_at_start()};
  std::shared_ptr<Pool> pool;
};

// Leaked on purpose: a static destructor may still compute, and a forked child, which has none of
// the workers, must not wait for them at its end.
Threads& threads() {
  static Threads* t = new Threads;
  return *t;
}

}  // namespace

int num_threads() { return threads().count.load(std::memory_order_relaxed); }

void set_num_threads(int n) {
  fail_if(n < 1 || n > kMaxThreads, "set_num_threads: expected a number from 1 to {}; got {}.",
          kMaxThreads, n);
  if (in_parallel) fail("set_num_threads: called from inside parallel_for.");
  Threads& t = threads();
  const std::lock_guard lock(t.mutex);
  if (n == t.count.load()) return;
  t.count.store(n);
  t.pool.reset();  // the next parallel_for starts a pool of the new size
}

void detail::run_chunks(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> f) {
  if (grain < 1) grain = 1;
  if (n > grain && !in_parallel && num_threads() > 1) {
    std::shared_ptr<Pool> pool;
    {
      Threads& t = threads();
      const std::lock_guard lock(t.mutex);
      if (!t.pool) t.pool = std::make_shared<Pool>(t.count.load());
      pool = t.pool;
    }
    if (pool->run(n, grain, f)) return;
  }
  for (int64_t i = 0; i < n; i += grain) f(i, n - i < grain ? n : i + grain);
}

NoThreads::NoThreads() : saved_(std::exchange(in_parallel, true)) {}
NoThreads::~NoThreads() { in_parallel = saved_; }

#if defined(__x86_64__)
FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
FlushDenormals::~FlushDenormals() { _mm_setcsr(saved_); }
#else
FlushDenormals::FlushDenormals() = default;
FlushDenormals::~FlushDenormals() = default;
#endif

}  // namespace ramp
