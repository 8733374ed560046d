// ramp's own small thread pool.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "ramp/core/ref.h"

namespace ramp {

/// A view of a callable: no allocation, valid while the callable lives.
template <typename Signature>
class FunctionRef;
template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
      FunctionRef(F&& f)  // NOLINT: implicit on purpose
      : object_(const_cast<void*>(static_cast<const void*>(&f))), call_([](void* o, Args... args) {
          return (*static_cast<std::remove_reference_t<F>*>(o))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// a / b, rounded up: the chunks of b that hold a.
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// The threads that work shares: RAMP_NUM_THREADS, else the machine's cores.
int num_threads();
/// Errors: fewer than 1 or more than 256; called from inside parallel_for.
void set_num_threads(int n);

namespace detail {
void run_chunks(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> f);
}

/// Calls f(begin, end) for the chunks [0, grain), [grain, 2 grain), ... of [0, n), on all threads.
/// The chunks depend on n and grain alone, so a result is bit-equal for any number of threads as
/// long as each chunk writes memory of its own. A single chunk and nested calls run inline; the
/// first exception reaches the caller after all threads have stopped.
template <typename F>
void parallel_for(int64_t n, int64_t grain, F&& f) {
  if (n > grain) {
    detail::run_chunks(n, grain, f);
  } else if (n > 0) {
    f(int64_t{0}, n);
  }
}

/// While it lives, parallel_for runs inline on this thread: for a thread that works beside the pool
/// and must not keep it from others.
class NoThreads : private NoCopy {
 public:
  NoThreads();
  ~NoThreads();

 private:
  bool saved_;
};

/// The grain of passes that only stream: elements that one thread takes at a time.
constexpr int64_t kStreamGrain = 1 << 14;

/// While it lives, this thread computes tiny (denormal) numbers as 0, which is many times faster.
class FlushDenormals : private NoCopy {
 public:
  FlushDenormals();
  ~FlushDenormals();

 private:
  unsigned saved_ = 0;
};

}  // namespace ramp
