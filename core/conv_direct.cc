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
#include <algorithm>
#include <utility>
#include <vector>

#include "ramp/core/conv_methods.h"
#include "ramp/core/gemm.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

constexpr int64_t kDwPixels = 256;  // that one sum for dw runs over at a time, in the L1 cache

// The weights that a result sums over, and the pixels of the padded image that they meet, counted
// from the result's own.
struct Tap {
  int64_t weight, pixel;
};
using Taps = std::vector<Tap>;
bool adjacent(const Taps& taps) {
  for (size_t i = 1; i < taps.size(); ++i)
    if (taps[i].pixel != taps[i - 1].pixel + 1) return false;
  return !taps.empty();
}

// One axis: the image that is read, behind pad_before zeros, and the results, whose taps come round
// with the phases: result i has those of i % phases.size().
struct Axis {
  int64_t size, pad_before, padded, results;
  int64_t step;  // in the image, for a step among the results of a phase
  std::vector<Taps> phases;

  int64_t count(int64_t phase) const { return ceil_div(results - phase, std::ssize(phases)); }
  /// The rows of the padded image that the first `n` results read.
  int64_t reads(int64_t n) const { return padded - (results - n) * step; }
};
struct AxisSizes {
  int64_t in, out, kernel, stride, dilation, pad_before;
};
std::array<AxisSizes, 2> axes(const ConvSizes& s) {
  return {{{s.h, s.oh, s.kh, s.stride[0], s.dilation[0], s.pad_before[0]},
           {s.w, s.ow, s.kw, s.stride[1], s.dilation[1], s.pad_before[1]}}};
}
// y[i] = sum of x[i stride + p dilation - pad_before] w[p]
Axis forward_axis(const AxisSizes& s) {
  Taps taps;
  for (int64_t p = 0; p < s.kernel; ++p) taps.push_back({p, p * s.dilation});
  return {.size = s.in,
          .pad_before = s.pad_before,
          .padded = (s.out - 1) * s.stride + (s.kernel - 1) * s.dilation + 1,
          .results = s.out,
          .step = s.stride,
          .phases = {taps}};
}
// dx[i] = sum of dy[(i + pad_before - p dilation) / stride] w[p] over the p without a remainder
Axis backward_axis(const AxisSizes& s) {
  const int64_t pad = ceil_div((s.kernel - 1) * s.dilation, s.stride);
  Axis axis{.size = s.out,
            .pad_before = pad,
            .padded = pad + std::max(s.out, (s.in - 1 + s.pad_before) / s.stride + 1),
            .results = s.in,
            .step = 1,
            .phases = {}};
  for (int64_t i = 0; i < std::min(s.stride, s.in); ++i) {
    Taps taps;
    for (int64_t p = s.kernel - 1; p >= 0; --p) {
      const int64_t from = i + s.pad_before - p * s.dilation + pad * s.stride;
      if (from % s.stride == 0) taps.push_back({p, from / s.stride});
    }
    axis.phases.push_back(taps);
  }
  return axis;
}

// Sums over taps of a padded image [rows, cols, c], to results of k channels: y of x, or dx of dy.
template <typename T>
struct Correlation {
  struct Phase {
    int64_t first_row, rows, first_col, cols;  // of the results
    std::vector<int64_t> offset;               // of each stretch of values that lie side by side
    int64_t stretch;                           // the values of one
    T* weights;
  };

  Axis row_axis, col_axis;
  int64_t c, k, groups;
  bool pads, depthwise;
  int64_t pitch;  // of the rows of the padded image
  std::vector<Phase> phases;
  ScratchMemory<T> packed;  // the weights; without them it only pads

  /// y of x, or with `vjp` dx of dy.
  Correlation(const ConvSizes& s, const T* w, bool vjp)
      : row_axis((vjp ? backward_axis : forward_axis)(axes(s)[0])),
        col_axis((vjp ? backward_axis : forward_axis)(axes(s)[1])),
        c(vjp ? s.k : s.c),
        k(vjp ? s.c : s.k),
        groups(s.groups),
        pads(row_axis.pad_before > 0 || col_axis.pad_before > 0 ||
             row_axis.padded > row_axis.size || col_axis.padded > col_axis.size),
        depthwise(groups > 1 && groups == c && groups == k),
        pitch((pads ? col_axis.padded : col_axis.size) * c),
        packed(w ? s.kh * s.kw * (depthwise ? c : c * panels() * panel()) : 0) {
    T* to = packed.get();
    for (int64_t i = 0; i < std::ssize(row_axis.phases); ++i)
      for (int64_t j = 0; j < std::ssize(col_axis.phases); ++j) {
        const Taps &rows = row_axis.phases[static_cast<size_t>(i)],
                   &cols = col_axis.phases[static_cast<size_t>(j)];
        Phase p{.first_row = i,
                .rows = row_axis.count(i),
                .first_col = j,
                .cols = col_axis.count(j),
                .offset = {},
                .stretch = c / groups,
                .weights = to};
        const bool joins = groups == 1 && adjacent(cols);
        if (joins) p.stretch *= std::ssize(cols);
        for (const Tap& row : rows)
          for (const Tap& col : cols) {
            p.offset.push_back(row.pixel * pitch + col.pixel * c);
            if (joins) break;
          }
        if (w) to = pack(s, w, vjp, rows, cols, to);
        phases.push_back(std::move(p));
      }
  }

  int64_t panel() const { return kernels<T>().gemm_panel_width; }
  int64_t panels() const { return ceil_div(k / groups, panel()); }

  /// Rows [row, row + rows) of the padded image; `scratch` is for them if it pads.
  const T* padded(const T* image, int64_t row, int64_t rows, T* scratch) const {
    if (!pads) return image + row * pitch;
    T* to = scratch;
    const int64_t h = row_axis.size, w = col_axis.size, width = col_axis.padded;
    const int64_t left = std::min(col_axis.pad_before, width), used = std::min(w, width - left);
    for (int64_t i = row - row_axis.pad_before; i < row - row_axis.pad_before + rows; ++i) {
      if (i < 0 || i >= h) {
        to = std::fill_n(to, pitch, T(0));
      } else {
        to = std::fill_n(to, left * c, T(0));
        to = std::copy_n(image + i * w * c, used * c, to);
        to = std::fill_n(to, pitch - (left + used) * c, T(0));
      }
    }
    return scratch;
  }

  /// The first `rows` rows of each phase's results, from the padded image x; bias may be null.
  void apply(const T* x, int64_t rows, const T* bias, T* y) const {
    for (const Phase& p : phases) apply(p, x, std::min(rows, p.rows), bias, y);
  }

 private:
  // The weights of the taps as matrices [taps * c / groups, panel], one for each group and panel.
  T* pack(const ConvSizes& s, const T* w, bool transposed, const Taps& rows, const Taps& cols,
          T* to) const {
    const int64_t cg = c / groups, kg = k / groups;
    for (int64_t g = 0; g < (depthwise ? 1 : groups); ++g)
      for (int64_t j = 0; j < kg; j += panel())
        for (const Tap& p : rows)
          for (const Tap& q : cols) {
            const T* from = w + (p.weight * s.kw + q.weight) * (s.c / groups) * s.k;
            const int64_t count = std::min(panel(), kg - j);
            if (depthwise) {
              to = std::copy(from, from + c, to);
            } else if (transposed) {
              kernels<T>().transpose(count, cg, from + j * s.k + g * cg, s.k, to, panel());
              for (int64_t i = 0; i < cg; ++i)
                std::fill(to + i * panel() + count, to + (i + 1) * panel(), T(0));
              to += cg * panel();
            } else {
              for (int64_t i = 0; i < cg; ++i, to += panel()) {
                const T* row = from + i * s.k + g * kg + j;
                std::fill(std::copy(row, row + count, to), to + panel(), T(0));
              }
            }
          }
    return to;
  }

  void apply(const Phase& p, const T* x, int64_t rows, const T* bias, T* y) const {
    const Kernels<T>& kernel = kernels<T>();
    const int64_t cg = c / groups, kg = k / groups, x_step = col_axis.step * c;
    const int64_t y_step = std::ssize(col_axis.phases) * k, y_row = col_axis.results * k;
    const auto stretches = static_cast<int64_t>(p.offset.size());
    const auto each_row = [&](auto f) {
      T* to = y + p.first_row * y_row + p.first_col * k;
      for (int64_t i = 0; i < rows; ++i)
        f(x + i * row_axis.step * pitch, to + i * std::ssize(row_axis.phases) * y_row);
    };
    if (depthwise) {
      each_row([&](const T* in, T* out) {
        kernel.depthwise(p.cols, c, stretches, p.offset.data(), in, x_step, p.weights, bias, out,
                         y_step);
      });
      return;
    }
    const T* matrix = p.weights;
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t j = 0; j < kg; j += panel()) {
        each_row([&](const T* in, T* out) {
          kernel.gemm_panel(p.cols, std::min(panel(), kg - j), {stretches, p.offset.data()},
                            p.stretch, in + g * cg, x_step, 1, matrix, panel(),
                            bias ? bias + g * kg + j : nullptr, out + g * kg + j, y_step, false);
        });
        matrix += stretches * p.stretch * panel();
      }
  }
};

// dw while it is summed up: rows of whole vectors, group by group (depthwise: of all channels).
template <typename T>
struct DwRows {
  int64_t rows, groups, cols, width;
  DwRows(const ConvSizes& s, bool depthwise)
      : rows(s.kh * s.kw * (s.c / s.groups)),
        groups(depthwise ? 1 : s.groups),
        cols(s.k / groups),
        width(depthwise ? cols : ceil_div(cols, kernels<T>().lanes) * kernels<T>().lanes) {}
  int64_t size() const { return rows * groups * width; }
  void copy_to(const T* from, T* dw) const {
    for (int64_t i = 0; i < rows * groups; ++i, from += width) dw = std::copy_n(from, cols, dw);
  }
};

// dw += of one image; x is the padded image.
template <typename T>
void add_dw(const ConvSizes& s, const Correlation<T>& f, const DwRows<T>& to, const T* x,
            const T* dy, T* dw) {
  const Kernels<T>& kernel = kernels<T>();
  const auto& p = f.phases[0];
  const auto taps = static_cast<int64_t>(p.offset.size());
  const int64_t step = s.stride[1] * s.c, x_row = s.stride[0] * f.pitch, dy_row = s.ow * s.k;
  if (f.depthwise) {
    for (int64_t i = 0; i < s.oh; ++i) {
      kernel.depthwise_dw(s.ow, s.c, taps, p.offset.data(), x + i * x_row, step, dy + i * dy_row,
                          dw);
    }
    return;
  }
  // The sums run over all pixels, in rows that fit the L1 cache with what is read of x.
  std::vector<int64_t> offset;
  for (int64_t i = 0; i < s.oh; ++i) offset.push_back(i * x_row);
  const int64_t some = std::clamp<int64_t>(kDwPixels / s.ow, 1, s.oh), pitch = to.groups * to.width;
  for (int64_t i = 0; i < s.oh; i += some)
    for (int64_t g = 0; g < s.groups; ++g)
      for (int64_t j = 0; j < to.width; j += f.panel())
        for (int64_t t = 0; t < taps; ++t) {
          kernel.gemm_panel(p.stretch, std::min(f.panel(), to.width - j),
                            {std::min(some, s.oh - i), &offset[static_cast<size_t>(i)]}, s.ow,
                            x + p.offset[static_cast<size_t>(t)] + g * (s.c / s.groups), 1, step,
                            dy + i * dy_row + g * to.cols + j, s.k, nullptr,
                            dw + t * p.stretch * pitch + g * to.width + j, pitch, true);
        }
}

}  // namespace

template <typename T>
void DirectConv<T>::forward(const ConvSizes& s, const T* x, const T* w, const T* b, T* y,
                            ConvEpilogue<T> epilogue) {
  const Correlation<T> f(s, w, false);
  // A panel of biases may be read beyond their end.
  const ScratchMemory<T> bias(b ? s.k + f.panel() : 0);
  if (b) std::fill_n(std::copy_n(b, s.k, bias.get()), f.panel(), T(0));
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
      f.apply(from, rows, b ? bias.get() : nullptr, to);
      epilogue({image, row, rows}, to);
    }
  });
}

template <typename T>
void DirectConv<T>::vjp(const ConvSizes& s, const T* x, const T* w, DyRows<T> dy_rows, T* dx, T* dw,
                        T* db) {
  const Correlation<T> of_y(s, nullptr, false);
  const Correlation<T> of_dx(s, dx ? w : nullptr, true);
  const int64_t dy_size = s.oh * s.ow * s.k;
  const int64_t x_rows = of_y.row_axis.padded, padded_dy_rows = of_dx.row_axis.padded;
  const DwRows<T> dw_rows(s, of_y.depthwise);
  ConvSums<T> sums(s.n, dw ? dw_rows.size() : 0, db ? s.k : 0, kConvChunks);
  if (dw) std::fill_n(sums.dw(0), sums.chunks * dw_rows.size(), T(0));

  parallel_for(s.n, sums.images, [&](int64_t begin, int64_t end) {
    const int64_t chunk = begin / sums.images;
    const ScratchMemory<T> out(dy_size + of_y.panel());
    const ScratchMemory<T> padded_x(dw && of_y.pads ? x_rows * of_y.pitch : 0);
    const ScratchMemory<T> padded_dy(dx && of_dx.pads ? padded_dy_rows * of_dx.pitch : 0);
    for (int64_t i = begin; i < end; ++i) {
      const T* dy = dy_rows({i, 0, s.oh}, out.get());
      if (db) sums.add_db(chunk, s.oh * s.ow, dy);
      if (dw) {
        // A panel of dy may be read beyond its end.
        if (dy != out.get() && (s.k / s.groups) % kernels<T>().lanes != 0) {
          std::copy_n(dy, dy_size, out.get());
          dy = out.get();
        }
        add_dw(s, of_y, dw_rows, of_y.padded(x + i * s.h * s.w * s.c, 0, x_rows, padded_x.get()),
               dy, sums.dw(chunk));
      }
      if (dx) {
        of_dx.apply(of_dx.padded(dy, 0, padded_dy_rows, padded_dy.get()), s.h, nullptr,
                    dx + i * s.h * s.w * s.c);
      }
    }
  });
  if (dw) dw_rows.copy_to(sums.total_dw(), dw);
  if (db) sums.total_db(db);
}

template struct DirectConv<float>;
template struct DirectConv<double>;

}  // namespace ramp
