// The direct method: the product of an implicit matrix, whose rows lie in the image as they are.
// See docs/convolution.md.
//
// y, 3x3: the 9 c values that y[i, j, :] sums over lie in the padded image in three stretches of
// 3 c, one for each row of the kernel. They are a row of a matrix [oh ow, 9 c], whose product with
// w as a matrix [9 c, k] is y; the microkernel of the matrix product reads the stretches where they
// are, so the matrix is never made. A pixel further in y, they begin stride c values further in x.
//
// dx, 3x3 with stride 2: dx[i] takes dy[(i - p) / 2] w[p] for the p that leave no remainder. So
// even rows of dx meet the weights p = 0 and 2, odd ones p = 1; columns likewise. These four phases
//     even rows, even columns: 2x2 weights      even rows, odd columns: 2x1
//     odd rows, even columns:  1x2              odd rows, odd columns:  1x1
// are four sums over dy as above, with a step of 1 in dy and of 2 in dx.
//
// Few channels, 5x5 to 6: the sums of two results side by side, 12 numbers, fill a vector better.
// In a row of the kernel they meet 6 c values; of the matrix [30 c, 12] that these are multiplied
// with, one column in six is 0. So the image is cut into pairs of results, as by a stride of 2.
#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "ramp/core/conv_methods.h"
#include "ramp/core/gemm.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

constexpr int64_t kDwPixels = 256;  // that one sum for dw runs over at a time, in the L1 cache
constexpr int64_t kDwRows = 48;     // of dw that a thread sums up at a time

// One axis: the image that is read, behind pad_before zeros, and the results. Result i meets at
// pixel u of the padded image the weight (first + i by_result + u by_pixel) / dilation, if there is
// one. The next round of results meets the same weights `step` pixels further.
struct Axis {
  int64_t size, pad_before, results, kernel, dilation, first, by_result, by_pixel, round, step;
  int64_t reach;  // the pixels that the first round reads
  bool joined;    // a round is one row of a product, else `round` phases
  int64_t rounds = ceil_div(results, round), padded = (rounds - 1) * step + reach;

  int64_t phases() const { return joined ? 1 : round; }
  int64_t members() const { return joined ? round : 1; }
  int64_t count(int64_t phase) const { return ceil_div(results - phase, round); }
  /// The pixels of the padded image that the first n rounds read.
  int64_t reads(int64_t n) const { return padded - (rounds - n) * step; }
  /// -1: none
  int64_t weight(int64_t result, int64_t pixel) const {
    const int64_t at = first + result * by_result + pixel * by_pixel;
    return at >= 0 && at % dilation == 0 && at / dilation < kernel ? at / dilation : -1;
  }
  /// The pixels where the first results of a phase meet weights.
  std::vector<int64_t> taps(int64_t phase) const {
    std::set<int64_t> pixels;
    for (int64_t i = phase; i < phase + members(); ++i)
      for (int64_t p = 0; p < kernel; ++p) {
        const int64_t away = p * dilation - first - i * by_result;
        if (away % by_pixel == 0) pixels.insert(away / by_pixel);
      }
    return {pixels.begin(), pixels.end()};
  }
};
// Of y[i] = sum of x[i stride + p dilation - pad_before] w[p], or with vjp of
// dx[i] = sum of dy[(i + pad_before - p dilation) / stride] w[p] over the p without a remainder.
// joined: how many results are a row of a product, with vjp a multiple of the stride; 0: none.
Axis axis_of(const ConvSizes& s, int axis, bool vjp, int64_t joined) {
  const int64_t in = axis == 0 ? s.h : s.w, out = axis == 0 ? s.oh : s.ow,
                kernel = axis == 0 ? s.kh : s.kw, span = (kernel - 1) * s.dilation[axis],
                stride = s.stride[axis], before = s.pad_before[axis],
                pad = vjp ? ceil_div(span, stride) : before,
                round = joined > 0 ? joined
                        : vjp      ? std::min(stride, in + 1)
                                   : 1;
  return {.size = vjp ? out : in,
          .pad_before = pad,
          .results = vjp ? in : out,
          .kernel = kernel,
          .dilation = s.dilation[axis],
          .first = vjp ? before + pad * stride : 0,
          .by_result = vjp ? 1 : -stride,
          .by_pixel = vjp ? -stride : 1,
          .round = round,
          .step = vjp ? round / stride : round * stride,
          .reach = vjp ? pad + (round - 1 + before) / stride + 1 : (round - 1) * stride + span + 1,
          .joined = joined > 0};
}

// How many results side by side should be one row of a product: where their channels fill a vector
// better than those of one do, and the weights they do not share, which are 0, cost less than that.
template <typename T>
int64_t joined_results(const ConvSizes& s, bool vjp) {
  const int64_t lanes = kernels<T>().lanes, k = vjp ? s.c : s.k, unit = vjp ? s.stride[1] : 1;
  if (s.groups > 1 || k % lanes == 0) return 0;
  // The multiply-adds of vectors for a row of results; 8 at least are under way at a time.
  const auto cost = [&](int64_t joined) {
    const Axis a = axis_of(s, 1, vjp, joined);
    const int64_t sums = std::max<int64_t>(8, a.rounds * ceil_div(a.members() * k, lanes));
    int64_t taps = 0;
    for (int64_t i = 0; i < a.phases(); ++i) taps += std::ssize(a.taps(i));
    return taps * sums;
  };
  int64_t best = 0, least = cost(0);
  for (int64_t n = std::max<int64_t>(2, unit); n <= 8; n += unit) {
    if ((vjp ? s.w : s.ow) % n != 0 || n % unit != 0 || cost(n) >= least) continue;
    least = cost(best = n);
  }
  return best;
}

// Sums over taps of a padded image [rows, cols, c], to results of k channels: y of x, or dx of dy.
template <typename T>
struct Correlation {
  struct Phase {
    int64_t first_row, rows, first_col, cols;  // of the results; cols: of rows of a product
    std::vector<int64_t> offset;               // of each stretch of values that lie side by side
    int64_t stretch;                           // the values of one
    T* weights;
  };

  Axis row_axis, col_axis;
  int64_t c, k, groups;
  bool pads, depthwise;
  int64_t pitch;    // of the rows of the padded image
  int64_t columns;  // of a product: the channels of a group, of all results that are joined
  std::vector<Phase> phases;
  ScratchMemory<T> packed;  // the weights; without them it only pads

  /// y of x, or with `vjp` dx of dy.
  Correlation(const ConvSizes& s, const T* w, bool vjp)
      : row_axis(axis_of(s, 0, vjp, 0)),
        col_axis(axis_of(s, 1, vjp, joined_results<T>(s, vjp))),
        c(vjp ? s.k : s.c),
        k(vjp ? s.c : s.k),
        groups(s.groups),
        pads(row_axis.pad_before > 0 || col_axis.pad_before > 0 ||
             row_axis.padded > row_axis.size || col_axis.padded > col_axis.size),
        depthwise(groups > 1 && groups == c && groups == k),
        pitch((pads ? col_axis.padded : col_axis.size) * c),
        columns(col_axis.members() * k / groups),
        packed(w ? s.kh * (col_axis.joined ? col_axis.reach : s.kw) *
                       (depthwise ? c : c * panels() * panel())
                 : 0) {
    T* to = packed.get();
    for (int64_t i = 0; i < row_axis.phases(); ++i)
      for (int64_t j = 0; j < col_axis.phases(); ++j) {
        const std::vector<int64_t> rows = row_axis.taps(i), cols = col_axis.taps(j);
        Phase p{.first_row = i,
                .rows = row_axis.count(i),
                .first_col = j,
                .cols = col_axis.count(j),
                .offset = {},
                .stretch = c / groups,
                .weights = to};
        const bool joins = groups == 1 && !cols.empty() &&
                           cols.back() - cols.front() + 1 == std::ssize(cols);  // side by side
        if (joins) p.stretch *= std::ssize(cols);
        for (const int64_t row : rows)
          for (const int64_t col : cols) {
            p.offset.push_back(row * pitch + col * c);
            if (joins) break;
          }
        if (w) to = pack(s, w, vjp, p, rows, cols);
        phases.push_back(std::move(p));
      }
  }

  int64_t panel() const { return kernels<T>().gemm_panel_width; }
  int64_t panels() const { return ceil_div(columns, panel()); }

  /// Rows [row, row + rows) of the padded image; `scratch` is for them if it pads.
  const T* padded(const T* image, int64_t row, int64_t rows, T* scratch) const {
    if (!pads) return image + row * pitch;
    const int64_t h = row_axis.size, w = col_axis.size, width = col_axis.padded;
    const int64_t left = std::min(col_axis.pad_before, width), used = std::min(w, width - left);
    share(rows, 16 * pitch, [&](int64_t i) {
      const int64_t at = row + i - row_axis.pad_before;
      T* const to = scratch + i * pitch;
      if (at < 0 || at >= h) {
        std::fill_n(to, pitch, T(0));
      } else {
        T* const end = std::copy_n(image + at * w * c, used * c, std::fill_n(to, left * c, T(0)));
        std::fill(end, to + pitch, T(0));
      }
    });
    return scratch;
  }

  /// The first `rows` rows of each phase's results from x, which begins at a row of the padded
  /// image; bias may be null.
  void apply(const T* x, int64_t row, int64_t rows, const T* bias, T* y) const {
    for (const Phase& p : phases) apply(p, x, row, std::min(rows, p.rows), bias, y);
  }

 private:
  // The weights of a phase as matrices [taps * c / groups, panel], one for each group and panel.
  T* pack(const ConvSizes& s, const T* w, bool transposed, const Phase& phase,
          const std::vector<int64_t>& rows, const std::vector<int64_t>& cols) const {
    const int64_t cg = c / groups, kg = k / groups;
    T* to = phase.weights;
    for (int64_t g = 0; g < (depthwise ? 1 : groups); ++g)
      for (int64_t j = 0; j < columns; j += panel())
        for (const int64_t p : rows)
          for (const int64_t q : cols) {
            const int64_t size = depthwise ? c : cg * panel(), end = std::min(columns, j + panel());
            std::fill_n(to, size, T(0));
            for (int64_t m = j / kg; m * kg < end; ++m) {
              const int64_t row = row_axis.weight(phase.first_row, p);
              const int64_t col = col_axis.weight(phase.first_col + m, q);
              if (col < 0) continue;
              const T* from = w + (row * s.kw + col) * (s.c / groups) * s.k;
              const int64_t first = std::max(j, m * kg),
                            count = std::min(end, (m + 1) * kg) - first;
              if (depthwise) {
                std::copy_n(from, c, to);
              } else if (transposed) {
                kernels<T>().transpose(count, cg, from + (first - m * kg) * s.k + g * cg, s.k,
                                       to + first - j, panel());
              } else {
                kernels<T>().copy_rows(cg, count, from + g * kg + first - m * kg, s.k, 1,
                                       to + first - j, panel(), 1, false);
              }
            }
            to += size;
          }
    return to;
  }

  void apply(const Phase& p, const T* x, int64_t row, int64_t rows, const T* bias, T* y) const {
    const Kernels<T>& kernel = kernels<T>();
    const int64_t cg = c / groups, kg = k / groups, x_step = col_axis.step * c;
    const int64_t y_step = col_axis.round * k, y_row = col_axis.results * k;
    const int64_t all = std::ssize(p.offset), depth = p.stretch * panel();
    const std::vector<int64_t> taps = row_axis.taps(p.first_row);
    const T* matrix = p.weights;
    for (int64_t g = 0; g < (depthwise ? 1 : groups); ++g)
      for (int64_t j = 0; j < columns; j += panel(), matrix += all * depth) {
        share(rows, p.cols * all * p.stretch * std::min(panel(), columns), [&](int64_t i) {
          const T* in = x + i * row_axis.step * pitch + g * cg;
          const T* b = bias ? bias + g * kg + j : nullptr;
          T* out = y + (i * row_axis.round + p.first_row) * y_row + p.first_col * k + g * kg + j;
          if (depthwise) {
            return kernel.depthwise(p.cols, c, all, p.offset.data(), in, x_step, matrix, b, out,
                                    y_step);
          }
          // Only the taps at rows of the image: those before and behind it are 0.
          const int64_t at = row + i * row_axis.step - row_axis.pad_before;
          int64_t begin = 0, end = all;
          if (at < 0 || at + row_axis.reach > row_axis.size) {
            const auto below = [&](int64_t limit) {
              const auto first = std::lower_bound(taps.begin(), taps.end(), limit - at);
              return (first - taps.begin()) * all / std::max<int64_t>(1, std::ssize(taps));
            };
            begin = below(0), end = below(row_axis.size);
          }
          kernel.gemm_panel(p.cols, std::min(panel(), columns - j),
                            {end - begin, p.offset.data() + begin}, p.stretch, in, x_step, 1,
                            matrix + begin * depth, panel(), b, out, y_step, false);
        });
      }
  }
};

// dw while it is summed up: for each tap of y and each channel a row of whole vectors, group by
// group (depthwise: of all channels).
template <typename T>
struct DwRows {
  const Correlation<T>& f;
  int64_t cg, groups, cols, width, size;
  DwRows(const ConvSizes& s, const Correlation<T>& of_y)
      : f(of_y),
        cg(s.c / s.groups),
        groups(f.depthwise ? 1 : s.groups),
        cols(f.col_axis.members() * s.k / groups),
        width(f.depthwise ? cols : ceil_div(cols, kernels<T>().lanes) * kernels<T>().lanes),
        size(std::ssize(f.row_axis.taps(0)) * std::ssize(f.col_axis.taps(0)) * cg * groups *
             width) {}
  // The weights that joined results share are summed.
  void copy_to(const ConvSizes& s, const T* from, T* dw) const {
    const int64_t k = cols / f.col_axis.members();
    std::fill_n(dw, s.kh * s.kw * cg * s.k, T(0));
    for (const int64_t p : f.row_axis.taps(0))
      for (const int64_t q : f.col_axis.taps(0))
        for (int64_t i = 0; i < cg * groups; ++i, from += width)
          for (int64_t m = 0; m < f.col_axis.members(); ++m) {
            const int64_t row = f.row_axis.weight(0, p), col = f.col_axis.weight(m, q);
            if (col < 0) continue;
            kernels<T>().axpy(k, T(1), from + m * k,
                              dw + ((row * s.kw + col) * cg * groups + i) * k);
          }
  }
};

// dw += of one image; x is the padded image.
template <typename T>
void add_dw(const ConvSizes& s, const DwRows<T>& to, const T* x, const T* dy, T* dw) {
  const Kernels<T>& kernel = kernels<T>();
  const Correlation<T>& f = to.f;
  const auto& p = f.phases[0];
  const auto taps = static_cast<int64_t>(p.offset.size());
  const int64_t step = f.col_axis.step * s.c, x_row = s.stride[0] * f.pitch, dy_row = s.ow * s.k;
  if (f.depthwise) {
    for (int64_t i = 0; i < s.oh; ++i) {
      kernel.depthwise_dw(s.ow, s.c, taps, p.offset.data(), x + i * x_row, step, dy + i * dy_row,
                          dw);
    }
    return;
  }
  // The sums run over all pixels, in rows that fit the L1 cache with what is read of x; threads
  // share the rows of dw.
  std::vector<int64_t> offset;
  for (int64_t i = 0; i < s.oh; ++i) offset.push_back(i * x_row);
  const int64_t some = std::clamp<int64_t>(kDwPixels / s.ow, 1, s.oh), pitch = to.groups * to.width;
  const int64_t parts = ceil_div(p.stretch, kDwRows), part = ceil_div(p.stretch, parts);
  const int64_t work = some * s.ow * part * std::min(f.panel(), to.width);
  for (int64_t i = 0; i < s.oh; i += some)
    for (int64_t g = 0; g < s.groups; ++g)
      for (int64_t j = 0; j < to.width; j += f.panel()) {
        share(taps * parts, work, [&](int64_t t) {
          const int64_t row = t % parts * part, rows = std::min(part, p.stretch - row);
          const int64_t from = p.offset[static_cast<size_t>(t / parts)] + g * to.cg + row;
          kernel.gemm_panel(
              rows, std::min(f.panel(), to.width - j),
              {std::min(some, s.oh - i), &offset[static_cast<size_t>(i)]}, f.col_axis.rounds,
              x + from, 1, step, dy + i * dy_row + g * to.cols + j, f.col_axis.members() * s.k,
              nullptr, dw + (t / parts * p.stretch + row) * pitch + g * to.width + j, pitch, true);
        });
      }
}

}  // namespace

template <typename T>
void DirectConv<T>::forward(const ConvSizes& s, const T* x, const T* w, const T* b, T* y,
                            ConvEpilogue<T> epilogue) {
  const Correlation<T> f(s, w, false);
  // A panel of biases may be read beyond their end.
  const ScratchMemory<T> bias(b ? f.col_axis.members() * s.k + f.panel() : 0);
  if (T* to = bias.get()) {
    for (int64_t m = 0; m < f.col_axis.members(); ++m) to = std::copy_n(b, s.k, to);
    std::fill_n(to, f.panel(), T(0));
  }
  // A step may be far larger than the image.
  const int64_t step = std::min(s.stride[0], f.row_axis.padded);
  const int64_t row_bytes = int64_t{sizeof(T)} * (s.ow * s.k + step * f.pitch);
  int64_t strip = std::max<int64_t>(4, kCacheBytes / (row_bytes + 1) / 4 * 4);
  if (s.n < 8) strip = std::min(strip, ceil_div(s.oh, 16) * 4);
  const int64_t strips = ceil_div(s.oh, strip);
  strip = std::min(strip, s.oh);
  const int64_t work = strip * s.ow * s.k * s.kh * s.kw * (s.c / s.groups);
  parallel_for(s.n * strips, kGemmGrain / (work + 1) + 1, [&](int64_t begin, int64_t end) {
    const ScratchMemory<T> in(f.pads ? f.row_axis.reads(strip) * f.pitch : 0);
    const ScratchMemory<T> out(y ? 0 : strip * s.ow * s.k);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / strips, row = i % strips * strip;
      const int64_t rows = std::min(strip, s.oh - row);
      T* to = y ? y + (image * s.oh + row) * s.ow * s.k : out.get();
      const T* from = f.padded(x + image * s.h * s.w * s.c, row * s.stride[0],
                               f.row_axis.reads(rows), in.get());
      f.apply(from, row * s.stride[0], rows, b ? bias.get() : nullptr, to);
      epilogue({image, row, rows}, to);
    }
  });
}

template <typename T>
void DirectConv<T>::vjp(const ConvSizes& s, const T* x, const T* w, DyRows<T> dy_rows, T* dx, T* dw,
                        T* db) {
  const Correlation<T> of_y(s, nullptr, false);
  const Correlation<T> of_dx(s, dx ? w : nullptr, true);
  const int64_t dy_row = s.ow * s.k, dy_size = s.oh * dy_row;
  const int64_t strip = kStreamGrain / (4 * dy_row + 1) * 4 + 4;  // rows, a multiple of 4
  const int64_t x_rows = of_y.row_axis.padded, padded_dy_rows = of_dx.row_axis.padded;
  const DwRows<T> dw_rows(s, of_y);
  ConvSums<T> sums(s, dw ? dw_rows.size : 0, db ? s.k : 0, kConvChunks);
  if (dw) std::fill_n(sums.dw(0), sums.chunks * dw_rows.size, T(0));

  parallel_for(s.n, sums.images, [&](int64_t begin, int64_t end) {
    const int64_t chunk = begin / sums.images;
    const ScratchMemory<T> out(dy_size + of_y.panel());
    const ScratchMemory<double> dbs(db ? ceil_div(s.oh, strip) * s.k : 0);
    const ScratchMemory<T> padded_x(dw && of_y.pads ? x_rows * of_y.pitch : 0);
    const ScratchMemory<T> padded_dy(dx && of_dx.pads ? padded_dy_rows * of_dx.pitch : 0);
    for (int64_t i = begin; i < end; ++i) {
      const T* dy = nullptr;
      parallel_for(s.oh, strip, [&](int64_t row, int64_t last) {
        const T* rows = dy_rows({i, row, last - row}, out.get() + row * dy_row);
        if (row == 0) dy = rows;
        if (db)
          kernels<T>().sum_cols((last - row) * s.ow, s.k, rows, s.k, nullptr,
                                dbs.get() + row / strip * s.k);
      });
      if (db) sums.add_db(chunk, ceil_div(s.oh, strip), dbs.get());
      if (dw) {
        // A panel of dy may be read beyond its end.
        if (dy != out.get() && dw_rows.cols % kernels<T>().lanes != 0) {
          std::copy_n(dy, dy_size, out.get());
          dy = out.get();
        }
        add_dw(s, dw_rows, of_y.padded(x + i * s.h * s.w * s.c, 0, x_rows, padded_x.get()), dy,
               sums.dw(chunk));
      }
      if (dx) {
        of_dx.apply(of_dx.padded(dy, 0, padded_dy_rows, padded_dy.get()), 0, s.h, nullptr,
                    dx + i * s.h * s.w * s.c);
      }
    }
  });
  if (dw) dw_rows.copy_to(s, sums.total_dw(), dw);
  if (db) sums.total_db(db);
}

template struct DirectConv<float>;
template struct DirectConv<double>;

}  // namespace ramp
