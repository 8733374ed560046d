#include "ramp/core/conv.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "ramp/core/error.h"
#include "ramp/core/gemm.h"
#include "ramp/core/kernels/kernels.h"
#include "ramp/core/memory.h"

namespace ramp {
namespace {

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// What one thread works on at a time: about the size of its L2 cache.
constexpr int64_t kCacheBytes = 5 << 17;
// The images are shared out in so many pieces at most, each with a dw of its own.
constexpr int64_t kPieces = 8;
constexpr int64_t kPiecesBytes = 1 << 26;
constexpr int64_t kDwPixels = 256;

int64_t pieces_of(int64_t images, int64_t bytes_each) {
  const int64_t most = std::clamp<int64_t>(kPiecesBytes / (bytes_each + 1), 1, kPieces);
  return std::max<int64_t>(1, std::min(images, most));
}

// x[i] += x[i + n] + x[i + 2 n] + .. of `pieces` arrays of n, in order.
template <typename T>
void add_pieces(int64_t pieces, int64_t n, T* x) {
  parallel_for(n, kStreamGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = 1; i < pieces; ++i)
      kernels<T>().axpy(end - begin, T(1), x + i * n + begin, x + begin);
  });
}

// ---- direct: the product of an implicit matrix, whose rows lie in the image as they are ----

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

  // An image of h x w with `lead` places before it, padded to `height` x `width`.
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
      lead[i] = of_dx ? divide_up(reach, s.stride[i]) : s.before[i];
      size[i] = of_dx ? lead[i] + std::max(out, (in - 1 + s.before[i]) / s.stride[i] + 1)
                      : (out - 1) * s.stride[i] + reach + 1;
    }
    pads = lead[0] > 0 || lead[1] > 0 || size[0] > h || size[1] > w;
    width = pads ? size[1] : w;
    pitch = width * c;
    out_width = of_dx ? s.w : s.ow;
    T* to = packed.get();
    for (int64_t r = 0; r < out_step[0]; ++r)
      for (int64_t q = 0; q < out_step[1]; ++q) {
        const auto taps = [&](int i, int64_t at) {
          return of_dx
                     ? Taps::of_dx(kernel[i], s.dilation[i], s.stride[i], at + s.before[i], lead[i])
                     : Taps::of_y(kernel[i], s.dilation[i]);
        };
        const Taps rows = taps(0, r), cols = taps(1, q);
        Phase p{.first_row = r,
                .rows = divide_up((of_dx ? s.h : s.oh) - r, out_step[0]),
                .first_col = q,
                .cols = divide_up(out_width - q, out_step[1]),
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
  int64_t panels() const { return divide_up(k / groups, panel()); }
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

template <typename T>
void conv_direct(const ConvSizes& s, const T* x, const T* w, const T* b, T* y, ConvDone<T> done) {
  const Correlation<T> f(s, w, false);
  // A panel of biases may be read beyond their end.
  const ScratchMemory<T> bias(b ? s.k + f.panel() : 0);
  if (b) std::fill_n(std::copy_n(b, s.k, bias.get()), f.panel(), T(0));
  const int64_t reach = (s.kh - 1) * s.dilation[0] + 1;
  const int64_t row_bytes = int64_t{sizeof(T)} * (s.ow * s.k + s.stride[0] * f.pitch);
  int64_t strip = std::max<int64_t>(4, kCacheBytes / (row_bytes + 1) / 4 * 4);
  if (s.n < 8) strip = std::min(strip, divide_up(s.oh, 16) * 4);
  const int64_t strips = divide_up(s.oh, strip);
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

// dw while it is summed up: rows of whole vectors, group by group.
template <typename T>
struct DwRows {
  int64_t rows, groups, cols, width;
  explicit DwRows(const ConvSizes& s)
      : rows(s.kh * s.kw * (s.c / s.groups)),
        groups(s.groups),
        cols(s.k / s.groups),
        width(divide_up(cols, kernels<T>().lanes) * kernels<T>().lanes) {}
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

// db[j] += sum over rows of dy [rows, k]
template <typename T>
void add_db(int64_t rows, int64_t k, const T* dy, double* sums, double* db) {
  kernels<T>().sum_cols(rows, k, dy, k, sums);
  for (int64_t j = 0; j < k; ++j) db[j] += sums[j];
}

template <typename T>
void finish_db(int64_t pieces, int64_t k, const double* sums, T* db) {
  for (int64_t j = 0; j < k; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < pieces; ++i) sum += sums[i * k + j];
    db[j] = static_cast<T>(sum);
  }
}

template <typename T>
void conv_direct_vjp(const ConvSizes& s, const T* x, const T* w, ConvGradient<T> gradient, T* dx,
                     T* dw, T* db) {
  std::optional<Correlation<T>> of_dx;
  if (dx) of_dx.emplace(s, w, true);
  const Correlation<T> of_y(s, nullptr, false);
  const int64_t panel = of_y.panel(), dy_size = s.oh * s.ow * s.k;
  const DwRows<T> dw_rows(s);
  const int64_t dw_size = of_y.depthwise ? s.kh * s.kw * s.c : dw_rows.size();
  const int64_t pieces = pieces_of(s.n, dw ? dw_size * int64_t{sizeof(T)} : 0);
  const int64_t images = divide_up(s.n, pieces);
  const ScratchMemory<T> dws(dw ? pieces * dw_size : 0);
  const ScratchMemory<double> dbs(db ? pieces * s.k : 0);
  if (dw) std::fill_n(dws.get(), pieces * dw_size, T(0));
  if (db) std::fill_n(dbs.get(), pieces * s.k, 0.);
  const int64_t x_rows = of_y.rows_read(s.oh, (s.kh - 1) * s.dilation[0] + 1);
  const int64_t dy_rows =
      dx ? of_dx->lead[0] + std::max(s.oh, (s.h - 1 + s.before[0]) / s.stride[0] + 1) : 0;

  parallel_for(s.n, images, [&](int64_t begin, int64_t end) {
    const int64_t piece = begin / images;
    const ScratchMemory<T> out(dy_size + panel),
        padded_x(dw && of_y.pads ? x_rows * of_y.pitch : 0);
    const ScratchMemory<T> padded_dy(dx && of_dx->pads ? dy_rows * of_dx->pitch : 0);
    const ScratchMemory<double> sums(db ? s.k : 0);
    for (int64_t i = begin; i < end; ++i) {
      const T* dy = gradient({i, 0, s.oh}, out.get());
      if (db) add_db(s.oh * s.ow, s.k, dy, sums.get(), dbs.get() + piece * s.k);
      if (dw) {
        // A panel of dy may be read beyond its end.
        if (dy != out.get() && (s.k / s.groups) % kernels<T>().lanes != 0) {
          std::copy_n(dy, dy_size, out.get());
          dy = out.get();
        }
        add_dw(s, of_y, dw_rows, of_y.padded(x + i * s.h * s.w * s.c, 0, x_rows, padded_x.get()),
               dy, dws.get() + piece * dw_size);
      }
      if (dx) {
        of_dx->apply(of_dx->padded(dy, 0, dy_rows, padded_dy.get()), 0, nullptr,
                     dx + i * s.h * s.w * s.c);
      }
    }
  });
  if (dw) {
    add_pieces(divide_up(s.n, images), dw_size, dws.get());
    if (of_y.depthwise) {
      std::copy_n(dws.get(), dw_size, dw);
    } else {
      dw_rows.copy_to(dws.get(), dw);
    }
  }
  if (db) finish_db(divide_up(s.n, images), s.k, dbs.get(), db);
}

// ---- Winograd ----

enum class Path { automatic, direct };
Path path_at_start() {
  const char* text = std::getenv("RAMP_CONV");
  if (text == nullptr || *text == 0 || std::string_view(text) == "auto") return Path::automatic;
  if (std::string_view(text) == "direct") return Path::direct;
  fail("RAMP_CONV: expected direct or auto; got \"{}\".", text);
}

// Where tiles that reach over the edge do not eat up the gain.
bool takes_winograd(const ConvSizes& s) {
  static const Path path = path_at_start();
  const int64_t tiles = divide_up(s.oh, 4) * divide_up(s.ow, 4);
  return path == Path::automatic && s.kh == 3 && s.kw == 3 && s.groups == 1 && s.c % 16 == 0 &&
         s.k % 16 == 0 && s.stride[0] == 1 && s.stride[1] == 1 && s.dilation[0] == 1 &&
         s.dilation[1] == 1 && 8 * tiles <= s.oh * s.ow;
}

template <typename T>
struct Winograd {
  const Kernels<T>& kernel = kernels<T>();
  const ConvSizes& s;
  const int64_t across, down, panel = kernel.gemm_panel_width;
  int64_t strip = 1;  // rows of tiles that are transformed at a time
  // The 36 matrices lie a little more than their size apart: a power of two would map all of them
  // onto the same sets of the cache.
  int64_t v_pitch, m_pitch;

  Winograd(const ConvSizes& sizes, bool vjp)
      : s(sizes), across(divide_up(s.ow, 4)), down(divide_up(s.oh, 4)) {
    // A strip should fit the cache, but not be smaller than the 36 sums for dw that each strip adds
    // to. The microkernel takes 6 tiles at a time: strips leave few over.
    const int64_t sums = vjp ? 72 * int64_t{sizeof(T)} * s.c * s.k : 0;
    const int64_t most =
        std::clamp(std::max(kCacheBytes, sums) / (36 * int64_t{sizeof(T)} * (s.c + s.k) * across),
                   int64_t{1}, std::max(down, divide_up(s.n * down, 8)));
    double best = 0;
    for (int64_t rows = 1; rows <= most; ++rows) {
      const int64_t tiles = rows * across;
      const double gain = static_cast<double>(tiles) / static_cast<double>(divide_up(tiles, 6) + 1);
      if (gain > best) {
        best = gain;
        strip = rows;
      }
    }
    v_pitch = strip * across * s.c + 16;
    m_pitch = strip * across * s.k + 16;
  }

  int64_t row_of(int64_t tile_row) const { return tile_row % down * 4; }
  int64_t rows_of(int64_t tile_row) const { return std::min<int64_t>(4, s.oh - row_of(tile_row)); }

  // V of the rows of tiles [begin, end), counted through all images
  void input(const T* x, int64_t begin, int64_t end, T* v) const {
    for (int64_t i = begin; i < end; ++i, v += across * s.c) {
      kernel.winograd_input(s.h, s.w, s.c, row_of(i) - s.before[0], -s.before[1], across,
                            x + i / down * s.h * s.w * s.c, v, v_pitch);
    }
  }

  // to [tiles, cols] = from [tiles, depth] u, u in panels
  void product(int64_t tiles, int64_t depth, int64_t cols, const T* from, const T* u, T* to) const {
    for (int64_t j = 0; j < cols; j += panel, u += depth * panel) {
      kernel.gemm_panel(tiles, std::min(panel, cols - j), depth, from, depth, 1, u, panel, to + j,
                        cols, false);
    }
  }

  static int64_t u_size(int64_t depth, int64_t cols) {
    const int64_t panel = kernels<T>().gemm_panel_width;
    return 36 * divide_up(cols, panel) * panel * depth;
  }
};

template <typename T>
void conv_winograd(const ConvSizes& s, const T* x, const T* w, const T* b, T* y, ConvDone<T> done) {
  const Winograd<T> f(s, false);
  const ScratchMemory<T> u(f.u_size(s.c, s.k));
  f.kernel.winograd_weights(s.c, s.k, w, f.panel, u.get());
  parallel_for(s.n * f.down, f.strip, [&](int64_t begin, int64_t end) {
    const ScratchMemory<T> v(36 * f.v_pitch), m(36 * f.m_pitch), out(y ? 0 : 4 * s.ow * s.k);
    f.input(x, begin, end, v.get());
    for (int64_t p = 0; p < 36; ++p) {
      f.product((end - begin) * f.across, s.c, s.k, v.get() + p * f.v_pitch,
                u.get() + p * (f.u_size(s.c, s.k) / 36), m.get() + p * f.m_pitch);
    }
    for (int64_t i = begin; i < end; ++i) {
      const ConvRows at{i / f.down, f.row_of(i), f.rows_of(i)};
      T* to = y ? y + (at.image * s.oh + at.row) * s.ow * s.k : out.get();
      f.kernel.winograd_output(at.rows, s.ow, s.k, m.get() + (i - begin) * f.across * s.k,
                               f.m_pitch, b, to);
      done(at, to);
    }
  });
}

template <typename T>
void conv_winograd_vjp(const ConvSizes& s, const T* x, const T* w, ConvGradient<T> gradient, T* dx,
                       T* dw, T* db) {
  const Winograd<T> f(s, true);
  const int64_t du_size = 36 * s.c * s.k, image = s.h * s.w * s.c;
  const ScratchMemory<T> u(dx ? f.u_size(s.k, s.c) : 0);
  if (dx) {
    const ScratchMemory<T> turned(9 * s.c * s.k);
    for (int64_t i = 0; i < 9 * s.c * s.k; i += s.c * s.k)
      f.kernel.transpose(s.c, s.k, w + i, s.k, turned.get() + i, s.c);
    f.kernel.winograd_weights(s.k, s.c, turned.get(), f.panel, u.get());
  }
  // A piece should have more tiles to add up than its sums have rows and columns.
  const int64_t enough = s.n * f.down * f.across * (s.c + s.k) / (2 * s.c * s.k);
  const int64_t pieces =
      std::min(pieces_of(s.n, dw ? du_size * int64_t{sizeof(T)} : 0), std::max<int64_t>(enough, 4));
  const int64_t images = divide_up(s.n, pieces);
  const ScratchMemory<T> dus(dw ? pieces * du_size : 0);
  const ScratchMemory<double> dbs(db ? pieces * s.k : 0);
  if (db) std::fill_n(dbs.get(), pieces * s.k, 0.);

  parallel_for(s.n, images, [&](int64_t first, int64_t last) {
    const int64_t piece = first / images;
    T* du = dus.get() + (dw ? piece * du_size : 0);
    const ScratchMemory<T> v(36 * f.v_pitch), m(36 * f.m_pitch), out(4 * s.ow * s.k);
    const ScratchMemory<double> sums(db ? s.k : 0);
    for (int64_t begin = first * f.down; begin < last * f.down; begin += f.strip) {
      const int64_t end = std::min(begin + f.strip, last * f.down);
      const int64_t tiles = (end - begin) * f.across;
      for (int64_t i = begin; i < end; ++i) {
        const ConvRows at{i / f.down, f.row_of(i), f.rows_of(i)};
        const T* dy = gradient(at, out.get());
        if (db) add_db(at.rows * s.ow, s.k, dy, sums.get(), dbs.get() + piece * s.k);
        f.kernel.winograd_output_vjp(at.rows, s.ow, s.k, dy, m.get() + (i - begin) * f.across * s.k,
                                     f.m_pitch);
      }
      if (dw) f.input(x, begin, end, v.get());
      for (int64_t p = 0; p < 36; ++p) {
        T *vp = v.get() + p * f.v_pitch, *mp = m.get() + p * f.m_pitch;
        for (int64_t j = 0; dw && j < s.k; j += f.panel) {
          f.kernel.gemm_panel(s.c, std::min(f.panel, s.k - j), tiles, vp, 1, s.c, mp + j, s.k,
                              du + p * s.c * s.k + j, s.k, begin > first * f.down);
        }
        if (dx) f.product(tiles, s.k, s.c, mp, u.get() + p * (f.u_size(s.k, s.c) / 36), vp);
      }
      if (dx) {
        for (int64_t i = begin; i < end; ++i) {
          if (i % f.down == 0) std::fill_n(dx + i / f.down * image, image, T(0));
          f.kernel.winograd_input_vjp(s.h, s.w, s.c, f.row_of(i) - s.before[0], -s.before[1],
                                      f.across, v.get() + (i - begin) * f.across * s.c, f.v_pitch,
                                      dx + i / f.down * image);
        }
      }
    }
  });
  if (dw) {
    add_pieces(divide_up(s.n, images), du_size, dus.get());
    f.kernel.winograd_weights_vjp(s.c, s.k, dus.get(), dw);
  }
  if (db) finish_db(divide_up(s.n, images), s.k, dbs.get(), db);
}

}  // namespace

template <typename T>
void conv(const ConvSizes& s, const T* x, const T* w, const T* b, T* y, ConvDone<T> done) {
  if (s.n * s.oh * s.ow * s.k == 0) return;
  (takes_winograd(s) ? conv_winograd<T> : conv_direct<T>)(s, x, w, b, y, done);
}

template <typename T>
void conv_vjp(const ConvSizes& s, const T* x, const T* w, ConvGradient<T> dy, T* dx, T* dw, T* db) {
  if (s.n * s.oh * s.ow * s.k == 0) {
    if (dx) std::fill_n(dx, s.n * s.h * s.w * s.c, T(0));
    if (dw) std::fill_n(dw, s.kh * s.kw * (s.c / s.groups) * s.k, T(0));
    if (db) std::fill_n(db, s.k, T(0));
    return;
  }
  (takes_winograd(s) ? conv_winograd_vjp<T> : conv_direct_vjp<T>)(s, x, w, dy, dx, dw, db);
}

template void conv(const ConvSizes&, const float*, const float*, const float*, float*,
                   ConvDone<float>);
template void conv(const ConvSizes&, const double*, const double*, const double*, double*,
                   ConvDone<double>);
template void conv_vjp(const ConvSizes&, const float*, const float*, ConvGradient<float>, float*,
                       float*, float*);
template void conv_vjp(const ConvSizes&, const double*, const double*, ConvGradient<double>,
                       double*, double*, double*);

}  // namespace ramp
