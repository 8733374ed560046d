// SIMD by GCC vector extensions (g++ and clang), at the width of the ISA level a file is compiled
// for. All in an anonymous namespace: each level has its own copy.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

namespace ramp {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

/// N lanes of T. One lane is T itself, on which all operators work too.
template <typename T, int N>
struct VecOf {
  using Int = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T type __attribute__((vector_size(N * sizeof(T))));
  typedef T unaligned __attribute__((vector_size(N * sizeof(T)), aligned(sizeof(T)), may_alias));
  typedef Int mask __attribute__((vector_size(N * sizeof(T))));
  typedef std::make_unsigned_t<Int> bits __attribute__((vector_size(N * sizeof(T))));
};
template <typename T>
struct VecOf<T, 1> {
  using type = T;
  typedef T unaligned __attribute__((may_alias));
  using mask = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
};
template <typename T, int N = kLanes<T>>
using Vec = typename VecOf<T, N>::type;
/// The result of a comparison: all bits of a lane set or none; also integers of the lane's width.
template <typename T, int N = kLanes<T>>
using Mask = typename VecOf<T, N>::mask;
/// The lanes as unsigned integers: `(Bits<T>)v` keeps the bits.
template <typename T>
using Bits = typename VecOf<T, kLanes<T>>::bits;

template <int N, typename T>
inline Vec<T, N> load(const T* p) {
  return *reinterpret_cast<const typename VecOf<T, N>::unaligned*>(p);
}
template <typename T>
inline Vec<T> load(const T* p) {
  return load<kLanes<T>>(p);
}
/// The same, where a select follows: the prefetcher does not see a load that became part of an
/// instruction with a mask.
template <typename T>
inline Vec<T> load_unmasked(const T* p) {
  Vec<T> v = load(p);
#ifdef __AVX512F__
  asm("" : "+v"(v));
#endif
  return v;
}
template <int N, typename T>
inline void store(T* p, Vec<T, N> v) {
  *reinterpret_cast<typename VecOf<T, N>::unaligned*>(p) = v;
}
template <typename T>
inline void store(T* p, Vec<T> v) {
  store<kLanes<T>>(p, v);
}
/// One value in all lanes (a - 0 keeps NaN, inf and -0; `0 + a` would be slower and lose -0).
template <typename T>
inline Vec<T> splat(T a) {
  return a - Vec<T>{};
}
// Columns as NV vectors of N lanes: they begin at p[0], p[1], .. The last one may overlap the one
// before, so all are read before one is written.
template <int N, int NV>
struct Panel {
  int64_t first, last;
  int64_t operator[](int v) const { return v == NV - 1 ? last : first + v * N; }
};
/// f(Panel) for columns j..n: of whole vectors, then of narrower ones, down to single values. No
/// two panels overlap.
template <typename T, int N = kLanes<T>, typename F>
inline void for_panels(int64_t n, F f, int64_t j = 0) {
  if constexpr (N == kLanes<T>)
    for (; n - j >= 4 * N; j += 4 * N) f(Panel<N, 4>{j, j + 3 * N});
  if constexpr (N > 1)
    for (; n - j > N; j += 2 * N) f(Panel<N, 2>{j, n - j < 2 * N ? n - N : j + N});
  if (n - j == N) return f(Panel<N, 1>{j, j});
  if constexpr (N > 1)
    if (n > j) for_panels<T, N / 2>(n, f, j);
}

// to[i] = from[i] for n < kLanes values.
template <typename T>
inline void copy_few(const T* from, T* to, int64_t n) {
  for_panels<T, kLanes<T> / 2>(n, [=]<int N, int NV>(Panel<N, NV> p) {
    for (int v = 0; v < NV; ++v) store<N>(to + p[v], load<N>(from + p[v]));
  });
}
/// The first n < kLanes values, the other lanes 0.
template <typename T>
inline Vec<T> load_first(const T* p, int64_t n) {
  if (n == 1) return splat(*p);
  T lane[kLanes<T>] = {};
  copy_few(p, lane, n);
  return load(lane);
}
template <typename T>
inline void store_first(T* p, Vec<T> v, int64_t n) {
  T lane[kLanes<T>];
  store(lane, v);  // not memcpy: taking v's address would keep a sum in memory while it grows
  copy_few(lane, p, n);
}

// i, for a place that fits a lane: below 2^31 for f32.
template <typename T>
inline auto place(int64_t i) {
  return static_cast<decltype(Mask<T>{}[0] + 0)>(i);
}

// 0, 1, ..
template <typename T>
inline Mask<T> lane_numbers() {
  Mask<T> lane;
  for (int l = 0; l < kLanes<T>; ++l) lane[l] = l;
  return lane;
}
/// v in its last n lanes, 0 in the others: what a vector at the end of a row adds to those before.
template <typename T>
inline Vec<T> last_lanes(Vec<T> v, int64_t n) {
  return lane_numbers<T>() >= place<T>(kLanes<T> - n) ? v : Vec<T>{};
}

// Lane i of the result is lane i ^ K of v.
template <int K, typename V, int... I>
inline V swap_lanes(V v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I ^ K)...);
}
/// f over all lanes, in each lane.
template <typename V, typename F>
inline V across(V v, F f) {
  constexpr int W = sizeof(V) / sizeof(v[0]);
  constexpr std::make_integer_sequence<int, W> all;
  if constexpr (W > 8) v = f(v, swap_lanes<8>(v, all));
  if constexpr (W > 4) v = f(v, swap_lanes<4>(v, all));
  if constexpr (W > 2) v = f(v, swap_lanes<2>(v, all));
  return f(v, swap_lanes<1>(v, all));
}

// v takes the place of m: more extreme, or the first NaN.
template <bool kMax, typename V>
inline auto beats(V v, V m) {
  return ((kMax ? v <= m : v >= m) == 0) & (m == m);
}

/// Values a lane adds in T before the sum goes on in double.
constexpr int64_t kBlock = 16;

/// y[i] += v[i] for the lanes of a vector of N.
template <typename T, int N>
inline void add_in_double(Vec<T, N> v, double* y) {
  constexpr int M = N < kLanes<double> ? N : kLanes<double>;
  if constexpr (N == 1) {
    *y += static_cast<double>(v);
  } else {
    T lane[N];
    store<N>(lane, v);
    for (int l = 0; l < N; l += M)
      store<M>(y + l, load<M>(y + l) + __builtin_convertvector(load<M>(lane + l), Vec<double, M>));
  }
}
/// sum[k] = the sum over columns 0..n of value k that f<N>(j, value) makes for N columns at j: in T
/// over short blocks, in double over those. f is called in several places: it is to be inlined.
template <typename T, int K, typename F>
inline void sum_row(int64_t n, F f, double (&sum)[K]) {
  constexpr int W = kLanes<T>, kWide = 4 * W;
  double lanes[K][W] = {};
  T few[K] = {};
  for (int64_t j = 0; n < W && j < n; ++j) {
    f.template operator()<1>(j, few);
    for (int k = 0; k < K; ++k) lanes[k][j] = few[k];
  }
  for (int64_t j = 0; n >= W && j < n;) {
    Vec<T> s[4][K] = {}, v[K];
    for (const int64_t stop = j + kBlock * kWide; j + kWide <= n && j < stop; j += kWide) {
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) {
        f.template operator()<W>(j + u * W, v);
        for (int k = 0; k < K; ++k) s[u][k] += v[k];
      }
    }
    for (; n - j < kWide && j < n; j += W) {
      f.template operator()<W>(n - j < W ? n - W : j, v);
      for (int k = 0; k < K; ++k) s[0][k] += n - j < W ? last_lanes<T>(v[k], n - j) : v[k];
    }
    for (int k = 0; k < K; ++k)
      add_in_double<T, W>((s[0][k] + s[1][k]) + (s[2][k] + s[3][k]), lanes[k]);
  }
  for (int k = 0; k < K; ++k) {
    Vec<double> all{};
    for (int l = 0; l < W; l += kLanes<double>) all += load(lanes[k] + l);
    sum[k] = across(all, [](Vec<double> a, Vec<double> b) { return a + b; })[0];
  }
}

/// The same down the columns of a panel: y[k][j] = the sum over the rows i of value k that f(i, v,
/// value) makes for vector v.
template <typename T, int K, int N, int NV, typename F>
inline void sum_columns(Panel<N, NV> p, int64_t rows, F f, double* const (&y)[K]) {
  double sum[K][NV][N] = {};
  for (int64_t i = 0; i < rows;) {
    Vec<T, N> s[K][NV] = {}, value[K];
    for (const int64_t stop = rows - i < kBlock ? rows : i + kBlock; i < stop; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        f(i, v, value);
        for (int k = 0; k < K; ++k) s[k][v] += value[k];
      }
    }
    for (int k = 0; k < K; ++k)
      for (int v = 0; v < NV; ++v) add_in_double<T, N>(s[k][v], sum[k][v]);
  }
  for (int k = 0; k < K; ++k)
    for (int v = 0; v < NV; ++v)
      for (int l = 0; l < N; ++l) y[k][p[v] + l] = sum[k][v][l];
}

}  // namespace
}  // namespace ramp
