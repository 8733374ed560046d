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
struct VecOf {
  using Int = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef T unaligned __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
  typedef Int mask __attribute__((vector_size(kVectorBytes)));
  typedef std::make_unsigned_t<Int> bits __attribute__((vector_size(kVectorBytes)));
};
template <typename T>
using Vec = typename VecOf<T>::type;
/// The result of a comparison: all bits of a lane set or none; also integers of the lane's width.
template <typename T>
using Mask = typename VecOf<T>::mask;
/// The lanes as unsigned integers: `(Bits<T>)v` keeps the bits.
template <typename T>
using Bits = typename VecOf<T>::bits;

template <typename T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <typename T>
inline Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VecOf<T>::unaligned*>(p);
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
template <typename T>
inline void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VecOf<T>::unaligned*>(p) = v;
}
/// One value in all lanes (a - 0 keeps NaN, inf and -0; `0 + a` would be slower and lose -0).
template <typename T>
inline Vec<T> splat(T a) {
  return a - Vec<T>{};
}
/// The first n < kLanes values, the other lanes 0.
template <typename T>
inline Vec<T> load_first(const T* p, int64_t n) {
  if (n == 1) return splat(*p);
  Vec<T> v{};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
// In pieces of N, N / 2, .. values: each is one store.
template <int N, typename T>
inline void store_pieces(T* p, const T* lane, int64_t n) {
  const int64_t count = n & N;
  if (count) __builtin_memcpy(p, lane, N * sizeof(T));
  if constexpr (N > 1) store_pieces<N / 2>(p + count, lane + count, n);
}
template <typename T>
inline void store_first(T* p, Vec<T> v, int64_t n) {
  T lane[kLanes<T>];
  store(lane, v);  // not memcpy: taking v's address would keep a sum in memory while it grows
  store_pieces<kLanes<T> / 2>(p, lane, n);
}

// v takes the place of m: more extreme, or the first NaN.
template <bool kMax, typename V>
inline auto beats(V v, V m) {
  return ((kMax ? v <= m : v >= m) == 0) & (m == m);
}

// i, for a place that fits a lane: below 2^31 for f32.
template <typename T>
inline auto place(int64_t i) {
  return static_cast<decltype(Mask<T>{}[0] + 0)>(i);
}

/// Values a lane adds in T before the sum goes on in double.
constexpr int64_t kBlock = 16;

/// y[i] += v[i] for the lanes of v.
inline void add_in_double(Vec<double> v, double* y) { store(y, load(y) + v); }
template <size_t... I>
inline void add_halves_in_double(Vec<float> v, double* y, std::index_sequence<I...>) {
  // Not through memory: g++ 12's sanitizer puts a vector of 64 bytes where it is not aligned.
  add_in_double(__builtin_convertvector(__builtin_shufflevector(v, v, I...), Vec<double>), y);
  add_in_double(
      __builtin_convertvector(__builtin_shufflevector(v, v, (I + sizeof...(I))...), Vec<double>),
      y + kLanes<double>);
}
inline void add_in_double(Vec<float> v, double* y) {
  add_halves_in_double(v, y, std::make_index_sequence<kLanes<double>>{});
}

}  // namespace
}  // namespace ramp
