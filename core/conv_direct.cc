// The direct method: the product of an implicit matrix, whose rows lie in the image as they are.
#include <algorithm>
#include <optional>
#include <vector>

#include "ramp/core/conv_methods.h"
#include "ramp/core/gemm.h"
#include "ramp/core/kernels/kernels.h"

namespace ramp {
namespace {

constexpr int64_t kDwPixels = 256;  // that one sum for dw runs over at a time, in the L1 cache

// One axis: which weights meet the input, and where, in the order of places.
struct Taps {
  std::vector<int64_t> weight, place;
  // Of y: i d. Of dx: the weights that reach a place `at` of the padded x, from dy behind `lead`
  // places of 0.
  static Taps of_y(int64_t k, int64_t dilation) {
    Taps t;
    for (int64_t i = 0; i < k; ++i) t.add(i, i * dilation);
    return t;
  }
  static Taps of_dx(int64_t k, int64_t dilation, int64_t stride, int64_t at, int64_t lead) {
    Taps t;
    for (int64_t i = k - 1; i >= 0; --i) {
      const int64_t from = at - i * dilation + lead * stride;
      if (from % stride == 0) t.add(i, from / stride);
    }
    return t;
  }
  void add(int64_t i, int64_t p) {
    weight.push_back(i);
    place.push_back(p);
  }
  bool adjacent() const {
    for (size_t i = 1; i < place.size(); ++i)
      if (place[i] != place[i - 1] + 1) return false;
    return true;
  }
};

// y or dx as sums over taps of a padded image. dx has one phase for each remainder of the stride.
template <typename T>
struct Correlation {
  struct Phase {
    int64_t first_row, rows, first_col, cols;  // of the result
    std::vector<int64_t> offset;               // of each stretch of `run` values
    int64_t run;
    T* weights;
  };

  // An image of h x w with `lead` places before it, padded to `width` columns.
  int64_t h, w, c, k, groups, width, pitch;
  std::array<int64_t, 2> lead, in_step, out_step;
  int64_t out_width;
  bool pads, depthwise;
  std::vector<Phase> phases;
  ScratchMemory<T> packed;

  Correlation(const ConvSizes& s, const T* weights, bool of_dx)
      : h(of_dx ? s.oh : s.h),
        w(of_dx ? s.ow : s.w),
        c(of_dx ? s.k : s.c),
        k(of_dx ? s.c : s.k),
        groups(s.groups),
        depthwise(groups > 1 && groups == c && groups == k),
        packed(weights ? packed_size(s) : 0) {
    const std::array<int64_t, 2> kernel = {s.kh, s.kw};
    std::array<int64_t, 2> size{};
    for (int i = 0; i < 2; ++i) {
      const int64_t reach = (kernel[i] - 1) * s.dilation[i];
      const int64_t in = i == 0 ? s.h : s.w, out = i == 0 ? s.oh : s.ow;
      in_step[i] = of_dx ? 1 : s.stride[i];
      out_step[i] = of_dx ? s.stride[i] : 1;
      lead[i] = of_dx ? ceil_div(reach, s.stride[i]) : s.before[i];
      size[i] = of_dx ? lead[i] + std::max(out, (in - 1 + s.before[i]) / s.stride[i] + 1)
                      : (out - 1) * s.stride[i] + reach + 1;
    }
    pads = lead[0] > 0 || lead[1] > 0 || size[0] > h || size[1] > w;
    width = pads ? size[1] : w;
    pitch = width * c;
    out_width = of_dx ? s.w : s.ow;
    T* to = packed.get();
    for (int64_t r = 0; r < std::min(out_step[0], of_dx ? s.h : s.oh); ++r)
      for (int64_t q = 0; q < std::min(out_step[1], out_width); ++q) {
        const auto taps = [&](int i, int64_t at) {
          return of_dx
                     ? Taps::of_dx(kernel[i], s.dilation[i], s.stride[i], at + s.before[i], lead[i])
                     : Taps::of_y(kernel[i], s.dilation[i]);
        };
        const Taps rows = taps(0, r), cols = taps(1, q);
        Phase p{.first_row = r,
                .rows = ceil_div((of_dx ? s.h : s.oh) - r, out_step[0]),
                .first_col = q,
                .cols = ceil_div(out_width - q, out_step[1]),
                .offset = {},
                .run = c / groups,
                .weights = to};
        const bool joins = groups == 1 && cols.adjacent() && !cols.place.empty();
        if (joins) p.run *= static_cast<int64_t>(cols.place.size());
        for (const int64_t row : rows.place)
          for (const int64_t col : cols.place) {
            p.offset.push_back(row * pitch + col * c);
            if (joins) break;
          }
        if (weights) to = pack(s, weights, of_dx, rows, cols, to);
        phases.push_back(std::move(p));
      }
  }

  int64_t panel() const { return kernels<T>().gemm_panel_width; }
  int64_t panels() const { return ceil_div(k / groups, panel()); }
  int64_t packed_size(const ConvSizes& s) const {
    return s.kh * s.kw * (depthwise ? c : c * panels() * panel());
  }

  // The weights of the taps as matrices [taps * c / groups, panel], one for each group and panel.
  T* pack(const ConvSizes& s, const T* weights, bool of_dx, const Taps& rows, const Taps& cols,
          T* to) const {
    const int64_t cg = c / groups, kg = k / groups;
    for (int64_t g = 0; g < (depthwise ? 1 : groups); ++g)
      for (int64_t j = 0; j < kg; j += panel())
        for (const int64_t p : rows.weight)
          for (const int64_t q : cols.weight) {
            const T* from = weights + (p * s.kw + q) * (s.c / groups) * s.k;
            const int64_t count = std::min(panel(), kg - j);
            if (depthwise) {
              to = std::copy(from, from + c, to);
            } else if (of_dx) {
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

  int64_t rows_read(int64_t rows, int64_t reach) const { return (rows - 1) * in_step[0] + reach; }

  // Rows [row, row + rows) of the padded image; `scratch` is for them if it pads.
  const T* padded(const T* image, int64_t row, int64_t rows, T* scratch) const {
    if (!pads) return image + row * pitch;
    T* to = scratch;
    const int64_t left = std::min(lead[1], width), used = std::min(w, width - left);
    for (int64_t i = row - lead[0]; i < row - lead[0] + rows; ++i) {
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

  // y[i] for `rows` rows (all of a phase if 0), from x, a padded image or its first row needed.
  void apply(const T* x, int64_t rows, const T* bias, T* y) const {
    const Kernels<T>& kernel = kernels<T>();
    const int64_t cg = c / groups, kg = k / groups, y_step = out_step[1] * k;
    for (const Phase& p : phases) {
      const auto segments = static_cast<int64_t>(p.offset.size());
      T* first = y + (p.first_row * out_width + p.first_col) * k;
      const auto each_row = [&](auto f) {
        for (int64_t i = 0; i < (rows ? rows : p.rows); ++i)
          f(x + i * in_step[0] * pitch, first + i * out_step[0] * out_width * k);
      };
      if (depthwise) {
        each_row([&](const T* in, T* out) {
          kernel.depthwise(p.cols, c, segments, p.offset.data(), in, in_step[1] * c, p.weights,
                           bias, out, y_step);
        });
        continue;
      }
      const T* matrix = p.weights;
      for (int64_t g = 0; g < groups; ++g)
        for (int64_t j = 0; j < kg; j += panel()) {
          each_row([&](const T* in, T* out) {
            kernel.conv_panel(p.cols, std::min(panel(), kg - j), segments, p.offset.data(), p.run,
                              in + g * cg, in_step[1] * c, 1, matrix, panel(),
                              bias ? bias + g * kg + j : nullptr, out + g * kg + j, y_step, false);
          });
          matrix += segments * p.run * panel();
        }
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
          kernel.conv_panel(p.run, std::min(f.panel(), to.width - j), std::min(some, s.oh - i),
                            &offset[static_cast<size_t>(i)], s.ow,
                            x + p.offset[static_cast<size_t>(t)] + g * (s.c / s.groups), 1, step,
                            dy + i * dy_row + g * to.cols + j, s.k, nullptr,
                            dw + t * p.run * pitch + g * to.width + j, pitch, true);
        }
}

}  // namespace

template <typename T>
void conv_direct(const ConvSizes& s, const T* x, const T* w, const T* b, T* y, ConvDone<T> done) {
  const Correlation<T> f(s, w, false);
  // A panel of biases may be read beyond their end.
  const ScratchMemory<T> bias(b ? s.k + f.panel() : 0);
  if (b) std::fill_n(std::copy_n(b, s.k, bias.get()), f.panel(), T(0));
  const int64_t reach = (s.kh - 1) * s.dilation[0] + 1;
  const int64_t row_bytes = int64_t{sizeof(T)} * (s.ow * s.k + s.stride[0] * f.pitch);
  int64_t strip = std::max<int64_t>(4, kCacheBytes / (row_bytes + 1) / 4 * 4);
  if (s.n < 8) strip = std::min(strip, ceil_div(s.oh, 16) * 4);
  const int64_t strips = ceil_div(s.oh, strip);
  strip = std::min(strip, s.oh);
  const int64_t work = strip * s.ow * s.k * s.kh * s.kw * (s.c / s.groups);
  parallel_for(s.n * strips, kGemmGrain / (work + 1) + 1, [&](int64_t begin, int64_t end) {
    const ScratchMemory<T> in(f.pads ? f.rows_read(strip, reach) * f.pitch : 0);
    const ScratchMemory<T> out(y ? 0 : strip * s.ow * s.k);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / strips, row = i % strips * strip;
      const int64_t rows = std::min(strip, s.oh - row);
      T* to = y ? y + (image * s.oh + row) * s.ow * s.k : out.get();
      f.apply(f.padded(x + image * s.h * s.w * s.c, row * s.stride[0], f.rows_read(rows, reach),
                       in.get()),
              rows, b ? bias.get() : nullptr, to);
      done({image, row, rows}, to);
    }
  });
}

template <typename T>
void conv_direct_vjp(const ConvSizes& s, const T* x, const T* w, ConvGradient<T> gradient, T* dx,
                     T* dw, T* db) {
  std::optional<Correlation<T>> of_dx;
  if (dx) of_dx.emplace(s, w, true);
  const Correlation<T> of_y(s, nullptr, false);
  const int64_t panel = of_y.panel(), dy_size = s.oh * s.ow * s.k;
  const DwRows<T> dw_rows(s, of_y.depthwise);
  ConvSums<T> sums(s.n, dw ? dw_rows.size() : 0, db ? s.k : 0, kConvPieces);
  if (dw) std::fill_n(sums.dw(0), sums.pieces * dw_rows.size(), T(0));
  const int64_t x_rows = of_y.rows_read(s.oh, (s.kh - 1) * s.dilation[0] + 1);
  const int64_t dy_rows =
      dx ? of_dx->lead[0] + std::max(s.oh, (s.h - 1 + s.before[0]) / s.stride[0] + 1) : 0;

  parallel_for(s.n, sums.images, [&](int64_t begin, int64_t end) {
    const int64_t piece = begin / sums.images;
    const ScratchMemory<T> out(dy_size + panel),
        padded_x(dw && of_y.pads ? x_rows * of_y.pitch : 0);
    const ScratchMemory<T> padded_dy(dx && of_dx->pads ? dy_rows * of_dx->pitch : 0);
    for (int64_t i = begin; i < end; ++i) {
      const T* dy = gradient({i, 0, s.oh}, out.get());
      if (db) sums.add_db(piece, s.oh * s.ow, dy);
      if (dw) {
        // A panel of dy may be read beyond its end.
        if (dy != out.get() && (s.k / s.groups) % kernels<T>().lanes != 0) {
          std::copy_n(dy, dy_size, out.get());
          dy = out.get();
        }
        add_dw(s, of_y, dw_rows, of_y.padded(x + i * s.h * s.w * s.c, 0, x_rows, padded_x.get()),
               dy, sums.dw(piece));
      }
      if (dx) {
        of_dx->apply(of_dx->padded(dy, 0, dy_rows, padded_dy.get()), 0, nullptr,
                     dx + i * s.h * s.w * s.c);
      }
    }
  });
  if (dw) dw_rows.copy_to(sums.all_dw(), dw);
  if (db) sums.all_db(db);
}

template void conv_direct(const ConvSizes&, const float*, const float*, const float*, float*,
                          ConvDone<float>);
template void conv_direct(const ConvSizes&, const double*, const double*, const double*, double*,
                          ConvDone<double>);
template void conv_direct_vjp(const ConvSizes&, const float*, const float*, ConvGradient<float>,
                              float*, float*, float*);
template void conv_direct_vjp(const ConvSizes&, const double*, const double*, ConvGradient<double>,
                              double*, double*, double*);

}  // namespace ramp
