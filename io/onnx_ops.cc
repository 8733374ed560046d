// What each op of an ONNX file is in ramp. Definitions: https://onnx.ai/onnx/operators, with their
// changes from opset 6 to 28. A form that is not here is refused by name: nothing is guessed.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "ramp/autograd/ops_activation.h"
#include "ramp/autograd/ops_conv.h"
#include "ramp/autograd/ops_dropout.h"
#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_norm.h"
#include "ramp/autograd/ops_pool.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_resize.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/ops_softmax.h"
#include "ramp/io/onnx_program.h"

namespace ramp::onnx {

using Ints = std::vector<int64_t>;

// ---- reading a node ----

const Attribute* NodeReader::find(const std::string& name, int64_t kind) {
  read_.insert(name);
  const auto found = std::ranges::find(node.attributes, name, &Attribute::name);
  if (found == node.attributes.end()) return nullptr;
  if (kind != Attribute::kNone && found->kind != kind)
    refuse("attribute {} of kind {}", name, found->kind);
  return &*found;
}
int64_t NodeReader::integer(const std::string& name, int64_t usual) {
  const Attribute* a = find(name, Attribute::kInt);
  return a ? a->integer : usual;
}
double NodeReader::real(const std::string& name, double usual) {
  const Attribute* a = find(name, Attribute::kReal);
  return a ? double{a->real} : usual;
}
std::string NodeReader::text(const std::string& name, const std::string& usual) {
  const Attribute* a = find(name, Attribute::kText);
  return a ? a->text : usual;
}
Ints NodeReader::integers(const std::string& name, Ints usual) {
  const Attribute* a = find(name, Attribute::kInts);
  return a ? a->integers : usual;
}
std::vector<double> NodeReader::reals(const std::string& name) {
  const Attribute* a = find(name, Attribute::kReals);
  return a ? std::vector<double>(a->reals.begin(), a->reals.end()) : std::vector<double>{};
}
void NodeReader::expect(size_t least, size_t most, size_t outputs) const {
  size_t there = node.inputs.size();
  while (there > 0 && node.inputs[there - 1].empty()) --there;
  if (there < least || there > most) refuse("a number of {} inputs", there);
  for (size_t i = 0; i < least; ++i)
    if (!given(i)) refuse("leaving out input {}", i);
  for (size_t i = outputs; i < node.outputs.size(); ++i)
    if (!node.outputs[i].empty()) refuse("its output {} (\"{}\")", i, node.outputs[i]);
}
void NodeReader::refuse_unread() const {
  std::set<std::string_view> seen;
  for (const Attribute& a : node.attributes) {
    if (!read_.contains(a.name)) refuse("attribute {}", a.name);
    if (!seen.insert(a.name).second) refuse("attribute {} twice", a.name);
  }
}
void NodeReader::refuse_text(const std::string& what) const {
  fail("node \"{}\" ({}, opset {}): {} is not supported.", node.name, node.op, opset, what);
}

// ---- layouts ----

namespace {
std::vector<int> axes_to_last(int rank) {
  std::vector<int> axes{0};
  for (int i = 2; i < rank; ++i) axes.push_back(i);
  axes.push_back(1);
  return axes;
}
}  // namespace

Held features_last(const Held& x) {
  if (x.last || x.t.rank() < 3) return x;
  return {permute(x.t, axes_to_last(x.t.rank())), true, x.type};
}
Held as_in_file(const Held& x) {
  if (!x.last) return x;
  std::vector<int> axes{0, x.t.rank() - 1};
  for (int i = 1; i + 1 < x.t.rank(); ++i) axes.push_back(i);
  return {permute(x.t, axes), false, x.type};
}

namespace {

// An axis of the file, of x as it is held.
int held_axis(const Held& x, int axis) {
  if (!x.last || axis == 0) return axis;
  return axis == 1 ? x.t.rank() - 1 : axis - 1;
}
int axis_in(const char* op, int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) fail("{}: axis {} of a value of rank {}.", op, axis, rank);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}
Ints numbers(const char* what, const Held& x) {
  fail_if(x.t.dtype() != i64 || x.t.rank() > 1, "{}: expected a list of integers; got {} {}.", what,
          x.t.shape(), x.t.dtype());
  const int64_t* n = x.t.data<int64_t>();
  return {n, n + x.t.numel()};
}
Shape shape_in_file(const Held& x) {
  if (!x.last) return x.t.shape();
  Shape s = x.t.shape().without(x.t.rank() - 1);
  return s.with(1, x.t.shape().last());
}
void expect_float(const char* op, const Held& x) {
  fail_if(!is_float(x.t.dtype()) || x.type == kBool, "{}: {} is not supported.", op,
          type_name(x.type));
}

// All in one layout, of as many dimensions where any is an image.
void together(Values& x) {
  int rank = 0;
  for (const Held& v : x) rank = std::max(rank, v.t.rank());
  const bool last =
      std::ranges::any_of(x, [&](const Held& v) { return v.last && v.t.rank() == rank; });
  for (Held& v : x) {
    if (!last) {
      v = as_in_file(v);
    } else if (v.t.numel() == 1) {
      v = {reshape(v.t, std::vector<int64_t>(static_cast<size_t>(rank), 1)), true, v.type};
    } else if (!v.last || v.t.rank() < rank) {
      v = as_in_file(v);
      Ints shape(static_cast<size_t>(rank - v.t.rank()), 1);
      shape.insert(shape.end(), v.t.shape().begin(), v.t.shape().end());
      v = features_last({reshape(v.t, shape), false, v.type});
    }
  }
}

// ---- elementwise ----

Run unary(Tensor (*f)(const Tensor&)) {
  return [f](const Values& x, const Context&) -> Values {
    expect_float("the op", x[0]);
    return {{f(x[0].t), x[0].last, x[0].type}};
  };
}
Run activation(const Activation& f) {
  return [f](const Values& x, const Context&) -> Values {
    expect_float(f.name(), x[0]);
    return {{activate(x[0].t, f), x[0].last, x[0].type}};
  };
}
template <typename A>
Run activation_of(NodeReader& node, A a) {
  node.expect(1, 1);
  return activation(Activation(a));
}

using Binary = Tensor (*)(const Tensor&, const Tensor&);

// y = f(f(x0, x1), x2) ..; integers of other widths would wrap elsewhere.
Run folded(NodeReader& node, Binary f, size_t least, size_t most, int64_t result = 0) {
  node.expect(least, most);
  // Before opset 7 an input was stretched only where "broadcast" said so, from "axis" on.
  int64_t axis = -1;
  if (node.opset < 7 && most == 2) {
    axis = node.integer("axis", -1);
    node.integer("broadcast", 0);
  }
  return [f, result, axis](const Values& given, const Context&) -> Values {
    Values x = given;
    for (const Held& v : x) {
      fail_if(v.type != x[0].type, "two types: {} and {}.", type_name(x[0].type),
              type_name(v.type));
      fail_if(v.type != kFloat && v.type != kDouble && v.type != kInt64,
              "arithmetic of {} is not supported.", type_name(v.type));
    }
    if (axis >= 0 && x[1].t.rank() > 0) {
      Ints shape(x[1].t.shape().begin(), x[1].t.shape().end());
      while (std::ssize(shape) < x[0].t.rank() - axis) shape.push_back(1);
      x[1] = {reshape(as_in_file(x[1]).t, shape), false, x[1].type};
    }
    together(x);
    Tensor y = x[0].t;
    for (size_t i = 1; i < x.size(); ++i) y = f(y, x[i].t);
    return {{y, x[0].last, result ? result : x[0].type}};
  };
}

Run where_op(NodeReader& node) {
  node.expect(3, 3);
  return [](const Values& given, const Context&) -> Values {
    Values x = given;
    fail_if(x[0].type != kBool || x[1].type != x[2].type, "Where of {}, {} and {}.",
            type_name(x[0].type), type_name(x[1].type), type_name(x[2].type));
    together(x);
    return {{where(x[0].t, x[1].t, x[2].t), x[1].last, x[1].type}};
  };
}

Run clip(NodeReader& node) {
  const double low = -INFINITY, high = INFINITY;
  const bool by_input = node.opset >= 11;
  node.expect(1, by_input ? 3 : 1);
  const double a = by_input ? low : node.real("min", low);
  const double b = by_input ? high : node.real("max", high);
  return [=](const Values& x, const Context&) -> Values {
    expect_float("Clip", x[0]);
    const auto bound = [&](size_t i, double usual) {
      return x.size() > i && x[i].defined() ? x[i].t.item() : usual;
    };
    const double to = bound(2, b);
    return {{clamp(x[0].t, std::min(bound(1, a), to), to), x[0].last, x[0].type}};
  };
}

Run prelu_op(NodeReader& node) {
  node.expect(2, 2);
  const bool by_channel = node.opset < 7;
  return [by_channel](const Values& given, const Context&) -> Values {
    Values x = given;
    expect_float("PRelu", x[0]);
    const Shape want = shape_in_file(x[0]);
    if (by_channel && x[1].t.numel() > 1) {
      Ints shape{x[1].t.numel()};
      for (int i = 2; i < x[0].t.rank(); ++i) shape.push_back(1);
      x[1].t = reshape(x[1].t, shape);
    }
    fail_if(broadcast("PRelu", want, shape_in_file(x[1])) != want,
            "PRelu: slope {} does not fit x {}.", x[1].t.shape(), want);
    together(x);
    const Tensor& slope = x[1].t;
    const bool one = slope.numel() == slope.shape().last();
    if (one && (slope.numel() == 1 || slope.numel() == x[0].t.shape().last()))
      return {{prelu(x[0].t, reshape(slope, {-1})), x[0].last, x[0].type}};
    return {{where(greater(x[0].t, scalar_like(0, x[0].t)), x[0].t, slope * x[0].t), x[0].last,
             x[0].type}};
  };
}

Run selu_op(NodeReader& node) {
  node.expect(1, 1);
  const double a = node.real("alpha", double{1.67326319217681884765625f});
  const double g = node.real("gamma", double{1.05070102214813232421875f});
  return [=](const Values& x, const Context&) -> Values {
    expect_float("Selu", x[0]);
    return {{g * elu(x[0].t, a), x[0].last, x[0].type}};
  };
}
Run hard_sigmoid_op(NodeReader& node) {
  node.expect(1, 1);
  const double a = node.real("alpha", double{0.2f}), b = node.real("beta", 0.5);
  return [=](const Values& x, const Context&) -> Values {
    expect_float("HardSigmoid", x[0]);
    if (b == 0.5 && std::fabs(a - 1. / 6) < 1e-7)
      return {{hard_sigmoid(x[0].t), x[0].last, x[0].type}};
    return {{clamp(a * x[0].t + b, 0, 1), x[0].last, x[0].type}};
  };
}
Run gelu_op(NodeReader& node) {
  const std::string how = node.text("approximate", "none");
  if (how != "none" && how != "tanh") node.refuse("approximate = \"{}\"", how);
  return how == "none" ? activation_of(node, GELU{}) : activation_of(node, GELUTanh{});
}

Run dropout_op(NodeReader& node) {
  node.expect(1, node.opset >= 12 ? 3 : 1);
  const double usual = node.opset < 12 ? node.real("ratio", 0.5) : 0.5;
  if (node.opset < 7 && node.integer("is_test", 0) == 0) node.refuse("is_test = 0");
  node.integer("seed", 0);  // of other generators
  // As in Module: training is what the model's own switch says.
  if (node.given(2) && !node.inputs[2].constant.defined())
    node.refuse("a training_mode that is computed");
  return [usual](const Values& x, const Context& c) -> Values {
    expect_float("Dropout", x[0]);
    if (!c.training) return {x[0]};
    const double p = x.size() > 1 && x[1].defined() ? x[1].t.item() : usual;
    return {{dropout(x[0].t, p, *c.rng), x[0].last, x[0].type}};
  };
}

// ---- products ----

Run gemm(NodeReader& node) {
  node.expect(2, 3);
  const bool a_turned = node.integer("transA", 0) != 0, b_turned = node.integer("transB", 0) != 0;
  const double alpha = node.real("alpha", 1), beta = node.real("beta", 1);
  if (node.opset < 7) node.integer("broadcast", 0);
  const bool b_lies = node.inputs[1].lies == Lies::transposed;
  return [=](const Values& given, const Context&) -> Values {
    const Tensor a = given[0].t;
    Tensor b = given[1].t, c = given.size() > 2 ? as_in_file(given[2]).t : Tensor();
    expect_float("Gemm", given[0]);
    fail_if(a.rank() != 2 || b.rank() != 2, "Gemm: a {} and b {} are not matrices.", a.shape(),
            b.shape());
    const bool turns = b_turned && !b_lies;
    Tensor y;
    if (!a_turned && !turns && alpha == 1 && beta == 1 && c.defined() && c.rank() == 1 &&
        c.dim(0) == b.dim(1)) {
      y = linear(a, b, c);
    } else {
      if (a_turned) {
        y = turns ? matmul(transpose(a), b, Trans::b) : matmul(a, b, Trans::a);
      } else {
        y = turns ? matmul(a, b, Trans::b) : matmul(a, b);
      }
      if (alpha != 1) y = alpha * y;
      if (c.defined()) {
        fail_if(broadcast("Gemm", y.shape(), c.shape()) != y.shape(), "Gemm: c {} does not fit {}.",
                c.shape(), y.shape());
        y = y + (beta == 1 ? c : beta * c);
      }
    }
    return {{y, false, given[0].type}};
  };
}

Run matmul_op(NodeReader& node) {
  node.expect(2, 2);
  return [](const Values& given, const Context&) -> Values {
    expect_float("MatMul", given[0]);
    Tensor a = as_in_file(given[0]).t, b = as_in_file(given[1]).t;
    const bool row = a.rank() == 1, column = b.rank() == 1;
    if (row) a = unsqueeze(a, 0);
    if (column) b = unsqueeze(b, -1);
    Tensor y = b.rank() == 2 && a.rank() > 1 ? linear(a, b) : matmul(a, b);
    if (column) y = squeeze(y, -1);
    if (row) y = squeeze(y, column ? -1 : -2);
    return {{y, false, given[0].type}};
  };
}

// ---- windows ----

// The windows of a convolution or a pool along each axis of an image.
struct Windows {
  Ints kernel, stride, dilation, pads;
  std::string how = "NOTSET";
  bool up = false;  // ceil_mode

  size_t axes() const { return kernel.size(); }
  int64_t reach(size_t i) const { return dilation[i] * (kernel[i] - 1) + 1; }
  // Padding at the begin and end of axis i of n pixels.
  std::pair<int64_t, int64_t> around(size_t i, int64_t n) const {
    if (how == "VALID") return {0, 0};
    if (how == "NOTSET") return {pads[i], pads[axes() + i]};
    const int64_t out = (n + stride[i] - 1) / stride[i];
    const int64_t all = std::max<int64_t>(0, (out - 1) * stride[i] + reach(i) - n);
    const int64_t less = all / 2;
    return how == "SAME_UPPER" ? std::pair{less, all - less} : std::pair{all - less, less};
  }
};

// kernel: the weight's, empty where that is not known; axes: where not even kernel_shape is.
Windows read_windows(NodeReader& node, const Ints& kernel, size_t axes = 0) {
  Windows w;
  w.kernel = node.integers("kernel_shape", kernel);
  const size_t n = axes > 0 ? axes : w.kernel.size();
  if (n != 1 && n != 2) node.refuse("kernel_shape {} (ramp has images and signals)", w.kernel);
  if (!kernel.empty() && w.kernel != kernel)
    node.refuse("kernel_shape {} for a weight of {}", w.kernel, kernel);
  w.stride = node.integers("strides", Ints(n, 1));
  w.dilation = node.integers("dilations", Ints(n, 1));
  w.pads = node.integers("pads", Ints(2 * n, 0));
  w.how = node.text("auto_pad", "NOTSET");
  const std::string ways[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
  if (std::ranges::find(ways, w.how) == std::end(ways)) node.refuse("auto_pad = \"{}\"", w.how);
  const auto fits = [&](const char* name, const Ints& v, size_t size, int64_t least) {
    if (v.size() != size || std::ranges::min(v) < least || std::ranges::max(v) > (1 << 30))
      node.refuse("{} = {}", name, v);
  };
  if (!w.kernel.empty()) fits("kernel_shape", w.kernel, n, 1);
  fits("strides", w.stride, n, 1);
  fits("dilations", w.dilation, n, 1);
  fits("pads", w.pads, 2 * n, 0);
  return w;
}

// A signal is an image of one row.
Size2d size_of(const Ints& v, int64_t of_row = 1) {
  return v.size() == 1 ? Size2d(of_row, v[0]) : Size2d(v[0], v[1]);
}
// Signals [n, w, c] as images of one row, and back.
Tensor as_image(const Tensor& x, size_t axes) { return axes == 1 ? unsqueeze(x, 1) : x; }
Tensor as_signal(const Tensor& x, size_t axes) { return axes == 1 ? squeeze(x, 1) : x; }
void check_axes(const char* op, const Held& x, size_t axes) {
  expect_float(op, x);
  fail_if(x.t.rank() != static_cast<int>(axes) + 2 || axes < 1 || axes > 2,
          "{}: a value of shape {} under windows of {}.", op, shape_in_file(x),
          axes == 1 ? "signals" : "images");
}

// [k, c, kh, kw] as [kh, kw, c, k].
Tensor convolution_weight(const Tensor& w) {
  std::vector<int> axes;
  for (int i = 2; i < w.rank(); ++i) axes.push_back(i);
  axes.insert(axes.end(), {1, 0});
  return permute(w, axes);
}

// The kernel of the weight, where that is known.
Ints kernel_of(const Known& w) {
  if (!w.constant.defined()) return {};
  const Shape& s = w.constant.shape();
  Ints kernel;
  for (int i = 0; i + 2 < s.rank(); ++i)
    kernel.push_back(s[w.lies == Lies::convolution ? i : i + 2]);
  return kernel;
}

// Those of an op with a weight. Where that is computed, and no one says how large it is, it is
// known when the model runs; the number of axes is that of the strides, pads .., or, without
// any, 2.
Windows read_weight_windows(NodeReader& node) {
  const Ints kernel = kernel_of(node.inputs[1]);
  if (!kernel.empty() || node.has("kernel_shape")) return read_windows(node, kernel);
  size_t axes = node.integers("strides").size();
  if (axes == 0) axes = node.integers("dilations").size();
  if (axes == 0) axes = node.integers("pads").size() / 2;
  if (axes == 0) axes = node.integers("output_shape").size();
  return read_windows(node, {}, axes == 0 ? 2 : axes);
}
Windows with_kernel(Windows w, const Tensor& weight) {
  if (w.kernel.empty())
    for (int i = 0; i + 2 < weight.rank(); ++i) w.kernel.push_back(weight.dim(i));
  fail_if(w.kernel.size() != w.stride.size() || w.kernel.empty() || std::ranges::min(w.kernel) < 1,
          "a weight whose kernel is [{}].", fmt::join(w.kernel, ", "));
  return w;
}

Run conv_op(NodeReader& node) {
  node.expect(2, 3);
  const int64_t groups = node.integer("group", 1);
  const Windows read = read_weight_windows(node);
  const bool lies = node.inputs[1].lies == Lies::convolution;
  return [=](const Values& given, const Context&) -> Values {
    Tensor weight = lies ? given[1].t : convolution_weight(as_in_file(given[1]).t);
    const Windows w = with_kernel(read, weight);
    check_axes("Conv", given[0], w.axes());
    Tensor x = as_image(features_last(given[0]).t, w.axes());
    if (w.axes() == 1) weight = unsqueeze(weight, 0);
    fail_if(weight.rank() != 4 || Size2d(weight.dim(0), weight.dim(1)) != size_of(w.kernel),
            "Conv: the weight does not fit the kernel {}.", size_of(w.kernel).str());
    std::vector<std::pair<int64_t, int64_t>> around{{0, 0}, {0, 0}, {0, 0}, {0, 0}};
    bool even = true;
    for (size_t i = 0; i < w.axes(); ++i) {
      const size_t axis = w.axes() == 1 ? 2 : i + 1;
      around[axis] = w.around(i, x.dim(static_cast<int>(axis)));
      even = even && around[axis].first == around[axis].second;
    }
    ConvOptions o{size_of(w.stride), 0, size_of(w.dilation), groups};
    if (even) {
      o.padding = Size2d(around[1].first, around[2].first);
    } else {
      x = pad(x, around);
    }
    const Tensor b = given.size() > 2 ? given[2].t : Tensor();
    return {{as_signal(conv2d(x, weight, b, o), w.axes()), true, given[0].type}};
  };
}

Run conv_transpose_op(NodeReader& node) {
  node.expect(2, 3);
  const int64_t groups = node.integer("group", 1);
  const Windows read = read_weight_windows(node);
  const Ints more = node.integers("output_padding", Ints(read.stride.size(), 0));
  const Ints size = node.integers("output_shape");
  if (more.size() != read.stride.size()) node.refuse("output_padding = {}", more);
  if (!size.empty() && size.size() != read.stride.size()) node.refuse("output_shape = {}", size);
  const bool lies = node.inputs[1].lies == Lies::convolution;
  return [=](const Values& given, const Context&) -> Values {
    Tensor weight = lies ? given[1].t : convolution_weight(as_in_file(given[1]).t);
    const Windows w = with_kernel(read, weight);
    check_axes("ConvTranspose", given[0], w.axes());
    const Tensor x = as_image(features_last(given[0]).t, w.axes());
    if (w.axes() == 1) weight = unsqueeze(weight, 0);
    ConvTransposeOptions o{size_of(w.stride), 0, size_of(more, 0), size_of(w.dilation), groups};
    Size2d begin = 0, end = 0;
    for (size_t i = 0; i < w.axes(); ++i) {
      const bool rows = w.axes() == 2 && i == 0;
      const int64_t n = x.dim(rows ? 1 : 2);
      const int64_t full = (n - 1) * w.stride[i] + w.reach(i) + more[i];
      int64_t before = w.pads[i], after = w.pads[w.axes() + i];
      if (w.how == "VALID") before = after = 0;
      if (!size.empty() || w.how.starts_with("SAME")) {
        const int64_t all = full - (size.empty() ? n * w.stride[i] : size[i]);
        fail_if(all < 0, "ConvTranspose: a result that is larger than {} is not supported.", full);
        before = w.how == "SAME_UPPER" ? all / 2 : all - all / 2;
        after = all - before;
      }
      (rows ? begin.h : begin.w) = before;
      (rows ? end.h : end.w) = after;
    }
    const Tensor b = given.size() > 2 ? given[2].t : Tensor();
    if (begin == end) {
      o.padding = begin;
      return {{as_signal(conv_transpose2d(x, weight, b, o), w.axes()), true, given[0].type}};
    }
    Tensor y = conv_transpose2d(x, weight, b, o);
    y = slice(slice(y, 1, begin.h, y.dim(1) - end.h), 2, begin.w, y.dim(2) - end.w);
    return {{as_signal(y, w.axes()), true, given[0].type}};
  };
}

// How many windows there are, and what has to stand at the end for the last one.
std::pair<int64_t, int64_t> count_windows(const Windows& w, size_t i, int64_t n, int64_t begin,
                                          int64_t end, int64_t opset) {
  const int64_t room = n + begin + end - w.reach(i);
  fail_if(room < 0, "a window of {} over {} pixels.", w.reach(i), n + begin + end);
  int64_t out = (w.up ? room + w.stride[i] - 1 : room) / w.stride[i] + 1;
  if (w.up && (out - 1) * w.stride[i] >= n + begin) {
    // Since opset 22 the text says that such a window is left out.
    fail_if(opset < 22, "ceil_mode with a window that starts in the padding is not supported.");
    --out;
  }
  return {out, std::max<int64_t>(0, (out - 1) * w.stride[i] + w.reach(i) - n - begin)};
}

Run max_pool_op(NodeReader& node) {
  node.expect(1, 1);
  Windows w = read_windows(node, {});
  w.up = node.integer("ceil_mode", 0) != 0;
  if (node.integer("storage_order", 0) != 0) node.refuse("storage_order = 1");
  const int64_t opset = node.opset;
  return [=](const Values& given, const Context&) -> Values {
    check_axes("MaxPool", given[0], w.axes());
    Tensor x = as_image(features_last(given[0]).t, w.axes());
    std::vector<std::pair<int64_t, int64_t>> around{{0, 0}, {0, 0}, {0, 0}, {0, 0}};
    bool even = true;
    for (size_t i = 0; i < w.axes(); ++i) {
      const size_t axis = w.axes() == 1 ? 2 : i + 1;
      const int64_t n = x.dim(static_cast<int>(axis));
      const auto [begin, end] = w.around(i, n);
      const auto [out, needed] = count_windows(w, i, n, begin, end, opset);
      even = even && begin == end && !w.up && 2 * begin <= w.kernel[i];
      around[axis] = {begin, even ? end : needed};
    }
    MaxPool2dOptions o{size_of(w.stride), 0, size_of(w.dilation)};
    if (even) {
      o.padding = Size2d(around[1].first, around[2].first);
    } else {
      x = pad(x, around, -INFINITY);
    }
    const Tensor y = max_pool2d(x, size_of(w.kernel), o);
    return {{as_signal(y, w.axes()), true, given[0].type}};
  };
}

Run average_pool_op(NodeReader& node) {
  node.expect(1, 1);
  Windows w = read_windows(node, {});
  w.up = node.integer("ceil_mode", 0) != 0;
  const bool counts = node.integer("count_include_pad", 0) != 0;
  if (std::ranges::max(w.dilation) > 1) node.refuse("dilations = {}", w.dilation);
  const int64_t opset = node.opset;
  return [=](const Values& given, const Context&) -> Values {
    check_axes("AveragePool", given[0], w.axes());
    Tensor x = as_image(features_last(given[0]).t, w.axes());
    std::vector<std::pair<int64_t, int64_t>> padding{{0, 0}, {0, 0}, {0, 0}, {0, 0}};
    auto rest = padding;  // behind the padding, where the last window ends
    bool even = !w.up, any = false;
    for (size_t i = 0; i < w.axes(); ++i) {
      const size_t axis = w.axes() == 1 ? 2 : i + 1;
      const int64_t n = x.dim(static_cast<int>(axis));
      const auto [begin, end] = w.around(i, n);
      const auto [out, needed] = count_windows(w, i, n, begin, end, opset);
      padding[axis] = {begin, std::min(end, needed)};
      rest[axis].second = needed - padding[axis].second;
      even = even && begin == end && 2 * begin <= w.kernel[i];
      any = any || begin > 0 || needed > 0;
    }
    const Size2d kernel = size_of(w.kernel);
    AvgPool2dOptions o{size_of(w.stride)};
    Tensor y;
    if (even || !any) {
      o.padding = even ? Size2d(padding[1].first, padding[2].first) : 0;
      o.count_include_pad = counts;
      y = avg_pool2d(x, kernel, o);
    } else {  // sums, by the number of pixels in each window
      Tensor pixels = Tensor::ones({1, x.dim(1), x.dim(2), 1}, x.dtype());
      pixels = pad(pad(pixels, padding, counts ? 1 : 0), rest);
      x = pad(pad(x, padding), rest);
      o.divisor_override = 1;
      y = avg_pool2d(x, kernel, o) / avg_pool2d(pixels, kernel, o);
    }
    return {{as_signal(y, w.axes()), true, given[0].type}};
  };
}

Run global_pool(NodeReader& node, bool largest) {
  node.expect(1, 1);
  return [largest](const Values& given, const Context&) -> Values {
    const Held x = features_last(given[0]);
    fail_if(x.t.rank() < 3, "a global pool of shape {}.", x.t.shape());
    std::vector<int> axes;
    for (int i = 1; i + 1 < x.t.rank(); ++i) axes.push_back(i);
    const ReduceOptions keep{.keepdims = true};
    return {{largest ? max(x.t, axes, keep) : mean(x.t, axes, keep), true, x.type}};
  };
}

// Pixel i of m, in pixels of the image; scale: m / n, or what the node says.
using Place = std::function<double(int64_t i, int64_t n, int64_t m, double scale)>;

Place place_of(NodeReader& node, const std::string& mode) {
  if (mode == "asymmetric")
    return [](int64_t i, int64_t, int64_t, double s) { return static_cast<double>(i) / s; };
  if (mode == "half_pixel")
    return [](int64_t i, int64_t, int64_t, double s) {
      return (static_cast<double>(i) + 0.5) / s - 0.5;
    };
  if (mode == "pytorch_half_pixel")
    return [](int64_t i, int64_t, int64_t m, double s) {
      return m > 1 ? (static_cast<double>(i) + 0.5) / s - 0.5 : 0;
    };
  if (mode == "half_pixel_symmetric")
    return [](int64_t i, int64_t n, int64_t m, double s) {
      const double size = static_cast<double>(n), whole = size * s;
      const double offset = size / 2 * (1 - static_cast<double>(m) / whole);
      return offset + (static_cast<double>(i) + 0.5) / s - 0.5;
    };
  if (mode == "align_corners")
    return [](int64_t i, int64_t n, int64_t m, double s) {
      // m as the scale makes it, before it is rounded down
      const double size = static_cast<double>(n) * s;
      (void)m;
      return size == 1 ? 0 : static_cast<double>(i) * static_cast<double>(n - 1) / (size - 1);
    };
  node.refuse("coordinate_transformation_mode = \"{}\"", mode);
}

std::function<double(double)> rounding_of(NodeReader& node, const std::string& mode) {
  if (mode == "round_prefer_floor") return [](double x) { return std::ceil(x - 0.5); };
  if (mode == "round_prefer_ceil") return [](double x) { return std::floor(x + 0.5); };
  if (mode == "floor") return [](double x) { return std::floor(x); };
  if (mode == "ceil") return [](double x) { return std::ceil(x); };
  node.refuse("nearest_mode = \"{}\"", mode);
}

Run resize_op(NodeReader& node) {
  const bool upsample = node.node.op == "Upsample";
  const size_t scales_at = upsample || node.opset < 11 ? 1 : 2;
  if (upsample && node.opset >= 10) node.refuse("this op in this opset");
  std::vector<double> fixed;
  if (upsample && node.opset < 9) fixed = node.reals("scales");
  node.expect(fixed.empty() && scales_at == 1 ? 2 : 1,
              scales_at == 1 ? (fixed.empty() ? 2 : 1) : 4);
  const bool modern = scales_at == 2;
  const std::string mode = node.text("mode", "nearest");
  if (mode != "nearest" && mode != "linear") node.refuse("mode = \"{}\"", mode);
  const std::string coordinates =
      modern ? node.text("coordinate_transformation_mode", "half_pixel") : "asymmetric";
  const Place place = place_of(node, coordinates);
  const auto nearest =
      rounding_of(node, modern ? node.text("nearest_mode", "round_prefer_floor") : "floor");
  node.real("cubic_coeff_a", -0.75);    // of mode "cubic"
  node.real("extrapolation_value", 0);  // of tf_crop_and_resize
  if (node.integer("exclude_outside", 0) != 0) node.refuse("exclude_outside = 1");
  if (node.integer("antialias", 0) != 0) node.refuse("antialias = 1");
  const std::string policy = node.text("keep_aspect_ratio_policy", "stretch");
  if (policy != "stretch") node.refuse("keep_aspect_ratio_policy = \"{}\"", policy);
  const bool some = node.has("axes");
  const Ints axes = node.integers("axes");
  return [=](const Values& given, const Context&) -> Values {
    expect_float("Resize", given[0]);
    const Shape shape = shape_in_file(given[0]);
    const int rank = shape.rank();
    std::vector<double> scale(static_cast<size_t>(rank), 1);
    Ints size(shape.begin(), shape.end());
    Ints which = axes;
    if (!some) {
      which.resize(static_cast<size_t>(rank));
      std::iota(which.begin(), which.end(), 0);
    }
    const bool by_size = modern && given.size() > 3 && given[3].defined();
    std::vector<double> scales = fixed;
    if (!by_size && fixed.empty()) {
      fail_if(given.size() <= scales_at || !given[scales_at].defined() ||
                  !is_float(given[scales_at].t.dtype()),
              "Resize: neither scales nor sizes.");
      scales = given[scales_at].t.values();
    }
    const Ints sizes = by_size ? numbers("Resize", given[3]) : Ints{};
    fail_if((by_size ? sizes.size() : scales.size()) != which.size(),
            "Resize: {} sizes for {} axes.", by_size ? sizes.size() : scales.size(), which.size());
    for (size_t k = 0; k < which.size(); ++k) {
      const auto axis = static_cast<size_t>(axis_in("Resize", which[k], rank));
      const double n = static_cast<double>(size[axis]);
      fail_if(!by_size && !(scales[k] > 0 && scales[k] * n < 1e9), "Resize: a scale of {}.",
              by_size ? 0 : scales[k]);
      size[axis] = by_size ? sizes[k] : static_cast<int64_t>(std::floor(n * scales[k]));
      scale[axis] = by_size ? static_cast<double>(sizes[k]) / n : scales[k];
    }
    fail_if(
        rank < 3 || rank > 4 || scale[0] != 1 || scale[1] != 1,
        "Resize: of {} to [{}] is not supported (ramp resizes images [n, c, h, w] and signals).",
        shape, fmt::join(size, ", "));
    const size_t count = static_cast<size_t>(rank) - 2;
    const Tensor x = as_image(features_last(given[0]).t, count);
    const bool whole = mode == "nearest";
    // Copies: the gradient asks later.
    const auto blends = [scale, count, whole, place, nearest](int axis, int64_t i, int64_t n,
                                                              int64_t m) -> detail::Blend {
      if (count == 1 && axis == 1) return {0, 1, 1, 0};
      const double s = scale[count == 1 ? 2 : static_cast<size_t>(axis) + 1];
      const double last = static_cast<double>(n - 1);
      const double at = place(i, n, m, s);
      if (whole) {
        const auto p = static_cast<int64_t>(std::clamp(nearest(at), 0., last));
        return {p, p + 1, 1, 0};
      }
      const double inside = std::clamp(at, 0., last);
      const auto p = static_cast<int64_t>(std::floor(inside));
      const double part = inside - static_cast<double>(p);
      if (part == 0) return {p, p + 1, 1, 0};
      return {p, p + 2, 1 - part, part};
    };
    const Size2d to = count == 1 ? Size2d(1, size[2]) : Size2d(size[2], size[3]);
    detail::check_images("Resize", x);
    detail::check_size("Resize", x, to);
    return {{as_signal(detail::resample("Resize", x, to, blends), count), true, given[0].type}};
  };
}

// ---- norms ----

Run batch_norm_op(NodeReader& node) {
  node.expect(5, 5);
  // In training_mode the file means the batch's statistics: that is the model's own switch here.
  node.integer("training_mode", 0);
  if (node.opset < 9 && node.integer("spatial", 1) != 1) node.refuse("spatial = 0");
  if (node.opset < 7 && node.integer("is_test", 0) != 1) node.refuse("is_test = 0");
  const BatchNormOptions o{false, 1 - node.real("momentum", double{0.9f}),
                           node.real("epsilon", double{1e-5f})};
  return [o](const Values& given, const Context& c) -> Values {
    expect_float("BatchNormalization", given[0]);
    const Held x = features_last(given[0]);
    BatchNormOptions now = o;
    now.training = c.training;
    Tensor running_mean = given[3].t, running_var = given[4].t;
    return {
        {batch_norm(x.t, given[1].t, given[2].t, running_mean, running_var, now), x.last, x.type}};
  };
}
Run layer_norm_op(NodeReader& node) {
  node.expect(2, 3, 3);
  const int64_t axis = node.integer("axis", -1);
  const double eps = node.real("epsilon", double{1e-5f});
  const int64_t stash = node.integer("stash_type", 1);
  if (stash != 1) node.refuse("stash_type = {}", stash);
  const bool statistics = node.node.outputs.size() > 1;
  return [=](const Values& given, const Context&) -> Values {
    expect_float("LayerNormalization", given[0]);
    const Tensor x = as_in_file(given[0]).t;
    const int from = axis_in("LayerNormalization", axis, x.rank());
    const Shape& s = x.shape();
    std::vector<int64_t> rest(s.begin() + from, s.end());
    const auto stretched = [&](const Held& v) {
      return broadcast_to(as_in_file(v).t, Shape(rest));
    };
    // One row in front, for where all of x is normalized.
    const Tensor rows = unsqueeze(x, 0);
    const LayerNormOptions o{x.rank() - from, eps};
    const bool shifts = given.size() > 2 && given[2].defined();
    const Tensor y =
        layer_norm(rows, stretched(given[1]), shifts ? stretched(given[2]) : Tensor(), o);
    Values all{{squeeze(y, 0), false, given[0].type}};
    if (!statistics) return all;
    std::vector<int> axes;
    for (int i = from; i < x.rank(); ++i) axes.push_back(i);
    all.push_back({mean(x, axes, {.keepdims = true}), false, given[0].type});
    const Tensor v = var(x, axes, {.correction = 0, .keepdims = true});
    all.push_back({pow(v + eps, -0.5), false, given[0].type});
    return all;
  };
}
Run instance_norm_op(NodeReader& node) {
  node.expect(3, 3);
  const double eps = node.real("epsilon", double{1e-5f});
  return [eps](const Values& given, const Context&) -> Values {
    expect_float("InstanceNormalization", given[0]);
    const Held x = features_last(given[0]);
    fail_if(x.t.rank() < 3, "InstanceNormalization: of shape {}.", x.t.shape());
    return {{group_norm(x.t, x.t.shape().last(), given[1].t, given[2].t, eps), true, x.type}};
  };
}
Run group_norm_op(NodeReader& node) {
  node.expect(3, 3);
  if (node.opset < 21) node.refuse("a scale for each group, as before opset 21,");
  const int64_t groups = node.integer("num_groups", 0);
  const double eps = node.real("epsilon", double{1e-5f});
  if (node.integer("stash_type", 1) != 1)
    node.refuse("stash_type = {}", node.integer("stash_type", 1));
  return [=](const Values& given, const Context&) -> Values {
    expect_float("GroupNormalization", given[0]);
    const Held x = features_last(given[0]);
    return {{group_norm(x.t, groups, given[1].t, given[2].t, eps), x.last, x.type}};
  };
}

// Before opset 13 all axes from `axis` on were one.
Run softmax_op(NodeReader& node, bool log) {
  node.expect(1, 1);
  const bool flat = node.opset < 13;
  const int64_t axis = node.integer("axis", flat ? 1 : -1);
  return [=](const Values& given, const Context&) -> Values {
    expect_float("Softmax", given[0]);
    const auto f = [&](const Tensor& x, int k) { return log ? log_softmax(x, k) : softmax(x, k); };
    if (!flat) {
      const int k = held_axis(given[0], axis_in("Softmax", axis, given[0].t.rank()));
      return {{f(given[0].t, k), given[0].last, given[0].type}};
    }
    const Tensor x = as_in_file(given[0]).t;
    const int from = axis_in("Softmax", axis, x.rank());
    int64_t rows = 1;
    for (int i = 0; i < from; ++i) rows *= x.dim(i);
    const Tensor y = f(x.view({rows, rows > 0 ? x.numel() / rows : 0}), -1);
    return {{y.view(x.shape()), false, given[0].type}};
  };
}

using Reduce = Tensor (*)(const Tensor&, Axes, ReduceOptions);
Run reduce_op(NodeReader& node, Reduce f, int64_t since) {
  const bool by_input = node.opset >= since;
  node.expect(1, by_input ? 2 : 1);
  const bool keep = node.integer("keepdims", 1) != 0;
  const bool noop = node.integer("noop_with_empty_axes", 0) != 0;
  const Ints listed = by_input ? Ints{} : node.integers("axes");
  return [=](const Values& given, const Context&) -> Values {
    expect_float("a reduction", given[0]);
    const Ints axes = given.size() > 1 && given[1].defined() ? numbers("axes", given[1]) : listed;
    if (axes.empty() && noop) return {given[0]};
    const Held x = keep ? given[0] : as_in_file(given[0]);
    std::vector<int> of;
    for (const int64_t a : axes) of.push_back(held_axis(x, axis_in("a reduction", a, x.t.rank())));
    if (axes.empty()) {
      of.resize(static_cast<size_t>(x.t.rank()));
      std::iota(of.begin(), of.end(), 0);
    }
    if (of.empty()) return {x};  // of a scalar
    return {{f(x.t, of, {keep}), x.last, x.type}};
  };
}

// ---- shapes ----

Run identity_op(NodeReader& node) {
  node.expect(1, 1);
  return [](const Values& x, const Context&) -> Values { return {x[0]}; };
}
Run flatten_op(NodeReader& node) {
  node.expect(1, 1);
  const int64_t axis = node.integer("axis", 1);
  return [axis](const Values& given, const Context&) -> Values {
    const Tensor x = as_in_file(given[0]).t;
    fail_if(axis < -x.rank() || axis > x.rank(), "Flatten: axis {} of {}.", axis, x.shape());
    int64_t rows = 1;
    for (int i = 0; i < (axis < 0 ? axis + x.rank() : axis); ++i) rows *= x.dim(i);
    return {{x.view({rows, rows > 0 ? x.numel() / rows : 0}), false, given[0].type}};
  };
}
Run reshape_op(NodeReader& node) {
  node.expect(2, 2);
  const bool zero = node.opset >= 14 && node.integer("allowzero", 0) != 0;
  return [zero](const Values& given, const Context&) -> Values {
    const Tensor x = as_in_file(given[0]).t;
    Ints shape = numbers("Reshape", given[1]);
    for (size_t i = 0; i < shape.size() && !zero; ++i) {
      if (shape[i] != 0) continue;
      fail_if(static_cast<int>(i) >= x.rank(), "Reshape: {} to [{}].", x.shape(),
              fmt::join(shape, ", "));
      shape[i] = x.dim(static_cast<int>(i));
    }
    return {{reshape(x, shape), false, given[0].type}};
  };
}
Run transpose_op(NodeReader& node) {
  node.expect(1, 1);
  const Ints perm = node.integers("perm");
  return [perm](const Values& given, const Context&) -> Values {
    const int rank = given[0].t.rank();
    std::vector<int> axes(perm.begin(), perm.end());
    if (perm.empty())
      for (int i = rank; i-- > 0;) axes.push_back(i);
    fail_if(std::ssize(axes) != rank, "Transpose: perm [{}] of {}.", fmt::join(axes, ", "),
            given[0].t.shape());
    // To features last, which is how it is held; and the way back.
    if (given[0].last && axes == axes_to_last(rank)) return {{given[0].t, false, given[0].type}};
    const Tensor x = as_in_file(given[0]).t;
    return {{permute(x, axes), false, given[0].type}};
  };
}
Run concat_op(NodeReader& node) {
  node.expect(1, 1 << 20);
  const int64_t axis = node.integer("axis", node.opset < 4 ? 1 : 0);
  if (!node.has("axis")) node.refuse("leaving out axis");
  return [axis](const Values& given, const Context&) -> Values {
    Values x = given;
    const bool last = std::ranges::any_of(x, &Held::last);
    std::vector<Tensor> parts;
    for (Held& v : x) {
      fail_if(v.type != x[0].type || v.t.rank() != x[0].t.rank(), "Concat: {} {} and {} {}.",
              type_name(x[0].type), x[0].t.shape(), type_name(v.type), v.t.shape());
      if (last) v = features_last(v);
      parts.push_back(v.t);
    }
    const int at = held_axis(x[0], axis_in("Concat", axis, x[0].t.rank()));
    return {{concat(parts, at), x[0].last, x[0].type}};
  };
}
Run shape_op(NodeReader& node) {
  node.expect(1, 1);
  const int64_t start = node.integer("start", 0);
  const bool has_end = node.has("end");
  const int64_t end = node.integer("end", 0);
  return [=](const Values& given, const Context&) -> Values {
    const Shape s = shape_in_file(given[0]);
    const int64_t rank = s.rank();
    const auto at = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank); };
    const int64_t from = at(start), to = std::max(from, has_end ? at(end) : rank);
    return {{Tensor::of(Ints(s.begin() + from, s.begin() + to)), false, kInt64}};
  };
}
Run gather_op(NodeReader& node) {
  node.expect(2, 2);
  const int64_t axis = node.integer("axis", 0);
  return [axis](const Values& given, const Context&) -> Values {
    const Tensor x = as_in_file(given[0]).t, index = as_in_file(given[1]).t;
    fail_if(index.dtype() != i64, "Gather: an index of {}.", type_name(given[1].type));
    const int at = axis_in("Gather", axis, x.rank());
    return {{take(x, index, at), false, given[0].type}};
  };
}
// Unsqueeze and Squeeze.
Run axes_op(NodeReader& node, bool inserts) {
  const bool by_input = node.opset >= 13;
  node.expect(inserts && by_input ? 2 : 1, by_input ? 2 : 1);
  const Ints listed = by_input ? Ints{} : node.integers("axes");
  if (inserts && !by_input && listed.empty()) node.refuse("leaving out axes");
  return [=](const Values& given, const Context&) -> Values {
    const bool said = given.size() > 1 && given[1].defined();
    const Ints axes = said ? numbers("axes", given[1]) : listed;
    const Tensor x = as_in_file(given[0]).t;
    std::set<int> at;
    const int rank = x.rank() + (inserts ? static_cast<int>(axes.size()) : 0);
    for (const int64_t a : axes)
      fail_if(!at.insert(axis_in("axes", a, rank)).second, "axes [{}] twice.",
              fmt::join(axes, ", "));
    Ints shape;
    if (inserts) {
      for (int i = 0, from = 0; i < rank; ++i) shape.push_back(at.contains(i) ? 1 : x.dim(from++));
    } else {
      for (int i = 0; i < rank; ++i) {
        const bool out = axes.empty() ? x.dim(i) == 1 : at.contains(i);
        fail_if(out && x.dim(i) != 1, "Squeeze: axis {} of {}.", i, x.shape());
        if (!out) shape.push_back(x.dim(i));
      }
    }
    return {{reshape(x, shape), false, given[0].type}};
  };
}
Run slice_op(NodeReader& node) {
  const bool by_input = node.opset >= 10;
  node.expect(by_input ? 3 : 1, by_input ? 5 : 1);
  const Ints s = by_input ? Ints{} : node.integers("starts"),
             e = by_input ? Ints{} : node.integers("ends"),
             a = by_input ? Ints{} : node.integers("axes");
  return [=](const Values& given, const Context&) -> Values {
    const auto list = [&](size_t i, const Ints& usual) {
      return by_input && given.size() > i && given[i].defined() ? numbers("Slice", given[i])
                                                                : usual;
    };
    const Ints starts = list(1, s), ends = list(2, e);
    Ints axes = list(3, a), steps = list(4, Ints(starts.size(), 1));
    if (axes.empty()) {
      axes.resize(starts.size());
      std::iota(axes.begin(), axes.end(), 0);
    }
    fail_if(ends.size() != starts.size() || axes.size() != starts.size() ||
                steps.size() != starts.size(),
            "Slice: lists of different lengths.");
    Tensor y = as_in_file(given[0]).t;
    for (size_t i = 0; i < starts.size(); ++i) {
      const int axis = axis_in("Slice", axes[i], y.rank());
      const int64_t n = y.dim(axis);
      fail_if(steps[i] < 1, "Slice: a step of {} is not supported.", steps[i]);
      const auto at = [&](int64_t k) { return std::clamp<int64_t>(k < 0 ? k + n : k, 0, n); };
      const int64_t from = at(starts[i]);
      y = slice(y, axis, from, std::max(from, at(ends[i])), steps[i]);
    }
    return {{y, false, given[0].type}};
  };
}
Run split_op(NodeReader& node) {
  const bool by_input = node.opset >= 13;
  const size_t parts = node.node.outputs.size();
  node.expect(1, by_input ? 2 : 1, parts);
  const int64_t axis = node.integer("axis", 0);
  const Ints listed = by_input ? Ints{} : node.integers("split");
  const auto count = node.opset >= 18 ? node.integer("num_outputs", static_cast<int64_t>(parts))
                                      : static_cast<int64_t>(parts);
  if (count != static_cast<int64_t>(parts)) node.refuse("num_outputs = {}", count);
  const bool even = node.opset < 18;
  return [=](const Values& given, const Context&) -> Values {
    const Held& x = given[0];
    const int at = held_axis(x, axis_in("Split", axis, x.t.rank()));
    Ints sizes = given.size() > 1 && given[1].defined() ? numbers("split", given[1]) : listed;
    if (sizes.empty()) {
      const int64_t n = x.t.dim(at), each = (n + count - 1) / count;
      fail_if(even && n % count != 0, "Split: {} in {} parts.", n, count);
      for (int64_t i = 0; i < count; ++i)
        sizes.push_back(std::clamp<int64_t>(n - i * each, 0, each));
    }
    fail_if(sizes.size() != parts, "Split: {} sizes for {} outputs.", sizes.size(), parts);
    Values y;
    for (Tensor& part : split(x.t, sizes, at)) y.push_back({part, x.last, x.type});
    return y;
  };
}
Run pad_op(NodeReader& node) {
  const bool by_input = node.opset >= 11;
  node.expect(by_input ? 2 : 1, by_input ? 4 : 1);
  const std::string mode = node.text("mode", "constant");
  if (mode != "constant" && mode != "reflect" && mode != "edge" && mode != "wrap")
    node.refuse("mode = \"{}\"", mode);
  const Ints listed = by_input ? Ints{} : node.integers("pads");
  const double usual = by_input ? 0 : node.real("value", 0);
  return [=](const Values& given, const Context&) -> Values {
    const Held& x = given[0];
    const int rank = x.t.rank();
    const Ints pads = by_input ? numbers("pads", given[1]) : listed;
    const double value =
        by_input && given.size() > 2 && given[2].defined() ? given[2].t.item() : usual;
    Ints axes(static_cast<size_t>(rank));
    std::iota(axes.begin(), axes.end(), 0);
    if (by_input && given.size() > 3 && given[3].defined()) axes = numbers("axes", given[3]);
    fail_if(pads.size() != 2 * axes.size(), "Pad: {} pads for {} axes.", pads.size(), axes.size());
    std::vector<std::pair<int64_t, int64_t>> around(static_cast<size_t>(rank));
    for (size_t i = 0; i < axes.size(); ++i) {
      const int at = held_axis(x, axis_in("Pad", axes[i], rank));
      around[static_cast<size_t>(at)] = {pads[i], pads[axes.size() + i]};
      fail_if(std::min(pads[i], pads[axes.size() + i]) < 0, "Pad: {} is not supported.", pads);
    }
    const PadMode how = mode == "reflect" ? PadMode::reflect
                        : mode == "edge"  ? PadMode::replicate
                                          : PadMode::circular;
    return {{mode == "constant" ? pad(x.t, around, value) : pad(x.t, around, how), x.last, x.type}};
  };
}
// To the larger of both shapes.
Run expand_op(NodeReader& node) {
  node.expect(2, 2);
  return [](const Values& given, const Context&) -> Values {
    const Tensor x = as_in_file(given[0]).t;
    const Shape to = broadcast("Expand", x.shape(), Shape(numbers("Expand", given[1])));
    return {{broadcast_to(x, to), false, given[0].type}};
  };
}
Run tile_op(NodeReader& node) {
  node.expect(2, 2);
  return [](const Values& given, const Context&) -> Values {
    return {{repeat(as_in_file(given[0]).t, numbers("Tile", given[1])), false, given[0].type}};
  };
}
Run constant_of_shape_op(NodeReader& node) {
  node.expect(1, 1);
  const Attribute* value = node.tensor("value");
  const Tensor v = value ? value->tensor : Tensor::zeros({1});
  const int64_t type = value ? value->tensor_type : int64_t{kFloat};
  if (v.numel() != 1) node.refuse("a value of shape {}", v.shape());
  return [v, type](const Values& given, const Context& c) -> Values {
    const DType dtype = type == kFloat ? c.real : v.dtype();
    return {
        {Tensor::full(Shape(numbers("ConstantOfShape", given[0])), v.item(), dtype), false, type}};
  };
}
Run cast_op(NodeReader& node) {
  node.expect(1, 1);
  const int64_t to = node.integer("to", 0);
  node.integer("saturate", 1);  // of 8-bit floats
  if (to != kFloat && to != kDouble && to != kInt64 && to != kBool && to != kInt32)
    node.refuse("to = {}", type_name(to));
  return [to](const Values& given, const Context& c) -> Values {
    const Held& x = given[0];
    if (x.type == to) return {x};
    if (to == kBool) return {{not_equal(x.t, scalar_like(0, x.t)), x.last, kBool}};
    Tensor y = x.t.to(to == kFloat ? c.real : to == kDouble ? f64 : i64);
    if (to == kInt32 && y.numel() > 0) {
      const int64_t* v = y.data<int64_t>();
      const auto [low, high] = std::minmax_element(v, v + y.numel());
      fail_if(*low < INT32_MIN || *high > INT32_MAX, "Cast: {} in int32.", *low < 0 ? *low : *high);
    }
    return {{y, x.last, to}};
  };
}

// y = f(x), in the text of the table below.
template <typename A>
Run (*plain())(NodeReader&) {
  return [](NodeReader& node) { return activation_of(node, A{}); };
}
template <Tensor (*kOp)(const Tensor&)>
Run unary_op(NodeReader& node) {
  node.expect(1, 1);
  return unary(kOp);
}
template <Binary kOp, size_t kMost = 2, int64_t kResult = 0>
Run binary_op(NodeReader& node) {
  return folded(node, kOp, kMost == 2 ? 2 : 1, kMost, kResult);
}
Tensor reciprocal(const Tensor& x) { return 1.0 / x; }
Run mean_of_inputs(NodeReader& node) {
  const double n = static_cast<double>(node.node.inputs.size());
  const Run sum = folded(node, add, 1, 1 << 20);
  return [=](const Values& x, const Context& c) -> Values {
    expect_float("Mean", x[0]);
    const Values y = sum(x, c);
    return {{y[0].t / n, y[0].last, y[0].type}};
  };
}
Run pow_op(NodeReader& node) {
  node.expect(2, 2);
  if (node.opset < 7) {
    node.integer("axis", -1);
    if (node.integer("broadcast", 0) != 0) node.refuse("broadcast = 1");
  }
  return [](const Values& given, const Context&) -> Values {
    expect_float("Pow", given[0]);
    if (given[1].t.numel() == 1 && given[1].t.rank() <= given[0].t.rank() &&
        !given[1].t.requires_grad())
      return {{pow(given[0].t, given[1].t.item()), given[0].last, given[0].type}};
    Values x = given;
    expect_float("Pow", x[1]);
    together(x);
    return {{pow(x[0].t, x[1].t), x[0].last, x[0].type}};
  };
}

Run not_op(NodeReader& node) {
  node.expect(1, 1);
  return [](const Values& x, const Context&) -> Values {
    fail_if(x[0].type != kBool, "Not: {} is not supported.", type_name(x[0].type));
    return {{logical_not(x[0].t), x[0].last, kBool}};
  };
}

// Of integers: with the sign of the divisor.
Run mod_op(NodeReader& node) {
  if (node.integer("fmod", 0) != 0) node.refuse("fmod = 1");
  const auto mod = [](const Tensor& a, const Tensor& b) {
    fail_if(a.dtype() != i64, "Mod: of {} is not supported.", a.dtype());
    const Tensor rest = a - a / b * b;
    const Tensor zero = scalar_like(0, rest);
    const Tensor other = less(rest * b, zero);
    return where(other, rest + b, rest);
  };
  return folded(node, mod, 2, 2);
}

struct Op {
  int64_t since;  // the first opset whose meaning is ours
  Run (*make)(NodeReader&);
  enum Kind { kPlain, kElementwise, kImages } kind = kPlain;
};

const std::map<std::string, Op>& ops() {
  constexpr auto kElementwise = Op::kElementwise, kImages = Op::kImages;
  static const std::map<std::string, Op> table{
      {"Abs", {6, unary_op<abs>, kElementwise}},
      {"Add", {6, binary_op<add>, kElementwise}},
      {"AveragePool", {6, average_pool_op, kImages}},
      {"BatchNormalization", {6, batch_norm_op, kImages}},
      {"Cast", {6, cast_op, kElementwise}},
      {"Ceil", {6, unary_op<ceil>, kElementwise}},
      {"Celu",
       {12, [](NodeReader& n) { return activation_of(n, CELU{n.real("alpha", 1)}); },
        kElementwise}},
      {"Clip", {6, clip, kElementwise}},
      {"Concat", {4, concat_op}},
      {"ConstantOfShape", {9, constant_of_shape_op}},
      {"Conv", {6, conv_op, kImages}},
      {"ConvTranspose", {6, conv_transpose_op, kImages}},
      {"Cos", {7, unary_op<cos>, kElementwise}},
      {"Div", {6, binary_op<div>, kElementwise}},
      {"Dropout", {6, dropout_op, kElementwise}},
      {"Elu",
       {6, [](NodeReader& n) { return activation_of(n, ELU{n.real("alpha", 1)}); }, kElementwise}},
      {"Equal", {7, binary_op<equal, 2, kBool>, kElementwise}},
      {"Erf", {9, unary_op<erf>, kElementwise}},
      {"Exp", {6, unary_op<exp>, kElementwise}},
      {"Expand", {8, expand_op}},
      {"Flatten", {6, flatten_op}},
      {"Floor", {6, unary_op<floor>, kElementwise}},
      {"Gather", {6, gather_op}},
      {"Gelu", {20, gelu_op, kElementwise}},
      {"Gemm", {6, gemm}},
      {"GlobalAveragePool", {6, [](NodeReader& n) { return global_pool(n, false); }, kImages}},
      {"GlobalMaxPool", {6, [](NodeReader& n) { return global_pool(n, true); }, kImages}},
      {"Greater", {7, binary_op<greater, 2, kBool>, kElementwise}},
      {"GreaterOrEqual", {12, binary_op<greater_equal, 2, kBool>, kElementwise}},
      {"GroupNormalization", {18, group_norm_op, kImages}},
      {"HardSigmoid", {6, hard_sigmoid_op, kElementwise}},
      {"HardSwish", {14, plain<HardSwish>(), kElementwise}},
      {"Identity", {6, identity_op, kElementwise}},
      {"InstanceNormalization", {6, instance_norm_op, kImages}},
      {"LayerNormalization", {17, layer_norm_op}},
      {"LeakyRelu",
       {6,
        [](NodeReader& n) { return activation_of(n, LeakyReLU{n.real("alpha", double{0.01f})}); },
        kElementwise}},
      {"Less", {7, binary_op<less, 2, kBool>, kElementwise}},
      {"LessOrEqual", {12, binary_op<less_equal, 2, kBool>, kElementwise}},
      {"Log", {6, unary_op<log>, kElementwise}},
      {"LogSoftmax", {6, [](NodeReader& n) { return softmax_op(n, true); }}},
      {"MatMul", {6, matmul_op}},
      {"Max", {6, [](NodeReader& n) { return folded(n, maximum, 1, 1 << 20); }, kElementwise}},
      {"MaxPool", {6, max_pool_op, kImages}},
      {"Mean", {6, mean_of_inputs, kElementwise}},
      {"Min", {6, [](NodeReader& n) { return folded(n, minimum, 1, 1 << 20); }, kElementwise}},
      {"Mish", {18, plain<Mish>(), kElementwise}},
      {"Mod", {10, mod_op, kElementwise}},
      {"Mul", {6, binary_op<mul>, kElementwise}},
      {"Neg", {6, unary_op<neg>, kElementwise}},
      {"Not", {6, not_op, kElementwise}},
      {"PRelu", {6, prelu_op, kElementwise}},
      {"Pad", {6, pad_op}},
      {"Pow", {6, pow_op, kElementwise}},
      {"Reciprocal", {6, unary_op<reciprocal>, kElementwise}},
      {"ReduceMax", {6, [](NodeReader& n) { return reduce_op(n, max, 18); }}},
      {"ReduceMean", {6, [](NodeReader& n) { return reduce_op(n, mean, 18); }}},
      {"ReduceMin", {6, [](NodeReader& n) { return reduce_op(n, min, 18); }}},
      {"ReduceSum", {6, [](NodeReader& n) { return reduce_op(n, sum, 13); }}},
      {"Relu", {6, plain<ReLU>(), kElementwise}},
      {"Reshape", {6, reshape_op}},
      {"Resize", {10, resize_op, kImages}},
      {"Selu", {6, selu_op, kElementwise}},
      {"Shape", {6, shape_op}},
      {"Sigmoid", {6, plain<Sigmoid>(), kElementwise}},
      {"Sin", {7, unary_op<sin>, kElementwise}},
      {"Slice", {6, slice_op}},
      {"Softmax", {6, [](NodeReader& n) { return softmax_op(n, false); }}},
      {"Softplus", {6, plain<Softplus>(), kElementwise}},
      {"Softsign", {6, plain<Softsign>(), kElementwise}},
      {"Split", {6, split_op}},
      {"Sqrt", {6, unary_op<sqrt>, kElementwise}},
      {"Squeeze", {6, [](NodeReader& n) { return axes_op(n, false); }}},
      {"Sub", {6, binary_op<sub>, kElementwise}},
      {"Sum", {6, [](NodeReader& n) { return folded(n, add, 1, 1 << 20); }, kElementwise}},
      {"Swish",
       {24, [](NodeReader& n) { return activation_of(n, Swish{n.real("alpha", 1)}); },
        kElementwise}},
      {"Tanh", {6, plain<Tanh>(), kElementwise}},
      {"ThresholdedRelu",
       {10, [](NodeReader& n) { return activation_of(n, ThresholdedReLU{n.real("alpha", 1)}); },
        kElementwise}},
      {"Tile", {6, tile_op}},
      {"Transpose", {6, transpose_op}},
      {"Unsqueeze", {6, [](NodeReader& n) { return axes_op(n, true); }}},
      {"Upsample", {7, resize_op, kImages}},
      {"Where", {9, where_op, kElementwise}},
  };
  return table;
}

}  // namespace

Run make_op(NodeReader& node) {
  if (!node.node.domain.empty() && node.node.domain != "ai.onnx")
    node.refuse("an op of the domain \"{}\"", node.node.domain);
  const auto op = ops().find(node.node.op);
  if (op == ops().end()) node.refuse("this op");
  if (node.opset < op->second.since || node.opset > 28) node.refuse("this op in this opset");
  Run run = op->second.make(node);
  node.refuse_unread();
  return run;
}
bool takes_images(const std::string& op) {
  const auto found = ops().find(op);
  return found != ops().end() && found->second.kind == Op::kImages;
}
bool is_elementwise(const std::string& op) {
  const auto found = ops().find(op);
  return found != ops().end() && found->second.kind == Op::kElementwise;
}

}  // namespace ramp::onnx
