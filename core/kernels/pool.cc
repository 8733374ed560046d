// Rows of pixels that are made of others: blends, the largest values of windows, and their way
// back. Vectors run over the channels.
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/kernels/vec.h"

namespace ramp {
namespace {

template <typename T>
void blend(int64_t n, int64_t c, Taps<T> taps, const T* x, T* y) {
  for_panels<T>(c, [=]<int N, int NV>(Panel<N, NV> p) {
    for (int64_t i = 0; i < n; ++i) {
      Vec<T, N> s[NV] = {};
      for (int64_t k = taps.first[i]; k < taps.first[i + 1]; ++k) {
        const auto [to, from, weight] = taps.tap[k];
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) s[v] += weight * load<N>(x + from * c + p[v]);
      }
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) store<N>(y + i * c + p[v], s[v]);
    }
  });
}

// f(offset in x, place) for the pixels of window i, row by row.
template <typename P, typename F>
[[gnu::always_inline]] inline void for_window(int64_t i, int64_t c, Taps<P> rows, Taps<P> cols,
                                              int64_t ld, F f) {
  const Tap<P>*row = rows.tap + rows.first[0], *col = cols.tap + cols.first[i];
  const auto visit = [&](int64_t r, int64_t k) __attribute__((always_inline)) {
    f(row[r].from * ld + col[k].from * c, row[r].weight + col[k].weight);
  };
  const int64_t height = rows.first[1] - rows.first[0], width = cols.first[i + 1] - cols.first[i];
  if (height == 2 && width == 2) return visit(0, 0), visit(0, 1), visit(1, 0), visit(1, 1);
  for (int64_t r = 0; r < height; ++r)
    for (int64_t k = 0; k < width; ++k) visit(r, k);
}

template <typename T>
void max_pool(int64_t n, int64_t c, Taps<Place<T>> rows, Taps<Place<T>> cols, const T* x,
              int64_t ld, T* y, Place<T>* at) {
  for_panels<T>(c, [=]<int N, int NV>(Panel<N, NV> p) {
    for (int64_t i = 0; i < n; ++i) {
      Vec<T, N> m[NV];
      Mask<T, N> best[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        m[v] = Vec<T, N>{} - static_cast<T>(__builtin_inf());
        best[v] = Mask<T, N>{} + (rows.tap[*rows.first].weight + cols.tap[cols.first[i]].weight);
      }
      for_window(
          i, c, rows, cols, ld, [&](int64_t from, Place<T> place) __attribute__((always_inline)) {
#pragma GCC unroll 4
            for (int v = 0; v < NV; ++v) {
              const Vec<T, N> value = load<N>(x + from + p[v]);
              const auto better = beats<true>(value, m[v]);
              m[v] = better ? value : m[v];
              best[v] = better ? Mask<T, N>{} + place : best[v];
            }
          });
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        store<N>(y + i * c + p[v], m[v]);
        store<N>(at + i * c + p[v], best[v]);
      }
    }
  });
}

template <typename T, Way kWay>
void at_place(int64_t n, int64_t c, Taps<Place<T>> rows, Taps<Place<T>> cols, T* x, int64_t ld,
              const Place<T>* at, T* y) {
  for_panels<T>(c, [=]<int N, int NV>(Panel<N, NV> p) {
    for (int64_t i = 0; i < n; ++i) {
      Mask<T, N> best[NV];
      Vec<T, N> mine[NV], theirs[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        best[v] = load<N>(at + i * c + p[v]);
        mine[v] = kWay == kPick ? Vec<T, N>{} : load<N>(y + i * c + p[v]);
      }
      for_window(
          i, c, rows, cols, ld, [&](int64_t from, Place<T> place) __attribute__((always_inline)) {
#pragma GCC unroll 4
            for (int v = 0; v < NV; ++v) {
              theirs[v] = kWay == kSet ? Vec<T, N>{} : load<N>(x + from + p[v]);
              if constexpr (kWay == kPick) {
                mine[v] = best[v] == place ? theirs[v] : mine[v];
              } else {
                theirs[v] += best[v] == place ? mine[v] : Vec<T, N>{};
              }
            }
#pragma GCC unroll 4
            for (int v = 0; kWay != kPick && v < NV; ++v) store<N>(x + from + p[v], theirs[v]);
          });
#pragma GCC unroll 4
      for (int v = 0; kWay == kPick && v < NV; ++v) store<N>(y + i * c + p[v], mine[v]);
    }
  });
}

}  // namespace

void RAMP_ISA::fill_pool(KernelTable& table) {
  table.fill([]<typename T>(Kernels<T>& k) {
    k.blend = blend<T>;
    k.max_pool = max_pool<T>;
    k.at_place[kPick] = at_place<T, kPick>;
    k.at_place[kSet] = at_place<T, kSet>;
    k.at_place[kAdd] = at_place<T, kAdd>;
  });
}

}  // namespace ramp
