// Layers as nodes of an ONNX graph. What an op's inputs and attributes mean:
// https://onnx.ai/onnx/operators, opset 20.
#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>
#include <unordered_map>

#include "ramp/autograd/ops_elementwise.h"
#include "ramp/autograd/ops_linear.h"
#include "ramp/autograd/ops_reduce.h"
#include "ramp/autograd/ops_shape.h"
#include "ramp/autograd/record.h"
#include "ramp/data/new_file.h"
#include "ramp/io/onnx.h"
#include "ramp/io/onnx_program.h"
#include "ramp/layers/conv.h"
#include "ramp/layers/dense.h"
#include "ramp/layers/dropout.h"
#include "ramp/layers/embedding.h"
#include "ramp/layers/norm.h"
#include "ramp/layers/pool.h"
#include "ramp/layers/reshape.h"
#include "ramp/layers/residual.h"
#include "ramp/layers/resize.h"
#include "ramp/layers/sequential.h"

namespace ramp {

using onnx::Attribute;
using Ints = std::vector<int64_t>;

// ---- the graph ----

std::string OnnxGraph::unique(const std::string& name) {
  std::string free = name;
  for (int i = 2; !names_.insert(free).second; ++i) free = fmt::format("{}_{}", name, i);
  return free;
}

OnnxValue OnnxGraph::node(const std::string& op, const std::vector<OnnxValue>& x,
                          const Tensor& example, std::vector<Attribute> attributes) {
  const bool first = !path_.empty() && !names_.contains(path_);
  const std::string name = unique(first ? path_ : path_.empty() ? op : path_ + "." + op);
  onnx::Node node{name, op, "", {}, {name}, std::move(attributes)};
  for (const OnnxValue& input : x) node.inputs.push_back(input.name);
  file_.nodes.push_back(std::move(node));
  OnnxValue y{name, example, false, {}};
  if (!x.empty()) {
    y.channels_first = x[0].channels_first && example.rank() >= 3;
    if (x[0].turned.rank() > 0 && example.shape() == x[0].example.shape()) y.turned = x[0].turned;
  }
  return y;
}

OnnxValue OnnxGraph::constant(const std::string& name, const Tensor& given) {
  std::string full = path_.empty() ? name : path_ + "." + name;
  const Tensor value = given.detach();
  for (const onnx::Constant& c : file_.constants) {
    if (c.name == full && c.value.dtype() == value.dtype() && c.value.shape() == value.shape() &&
        c.value.values() == value.values())
      return {full, value, false, {}};
  }
  full = unique(full);
  file_.constants.push_back({full, value, onnx::type_of(value.dtype())});
  return {full, value, false, {}};
}

OnnxValue OnnxGraph::turned_by(const OnnxValue& x, const Ints& axes, bool first) {
  OnnxValue& y = transposed_[x.name];
  if (y.name.empty()) {
    y = node("Transpose", {x}, x.example, {{"perm", axes}});
    y.channels_first = first;
  }
  return y;
}

OnnxValue OnnxGraph::features_last(const OnnxValue& x) {
  if (x.turned.rank() > 0) {
    Ints shape{0, x.turned.last()};
    for (int i = 0; i + 1 < x.turned.rank(); ++i) shape.push_back(x.turned[i]);
    Ints whole{x.example.dim(0)};
    whole.insert(whole.end(), x.turned.begin(), x.turned.end());
    OnnxValue image = node("Reshape", {x, constant("image_shape", Tensor::of(shape))},
                           x.example.view(Shape(whole)));
    image.channels_first = true;
    const OnnxValue last = features_last(image);
    return node("Flatten", {last}, x.example, {{"axis", 1}});
  }
  if (!x.channels_first) return x;
  Ints axes{0};
  for (int i = 2; i < x.example.rank(); ++i) axes.push_back(i);
  axes.push_back(1);
  return turned_by(x, axes, false);
}

OnnxValue OnnxGraph::channels_first(const OnnxValue& x) {
  if (x.channels_first || x.example.rank() < 3) return x;
  Ints axes{0, x.example.rank() - 1};
  for (int i = 1; i + 1 < x.example.rank(); ++i) axes.push_back(i);
  return turned_by(x, axes, true);
}

// ---- activations ----

namespace {

// The same function, of the same name: an activation of a user's own may be called relu too.
bool is(const Activation& f, const Activation& g) {
  if (std::string_view(f.name()) != g.name()) return false;
  const auto same = [&](double x) {
    const double a = f.value(x), b = g.value(x);
    return a == b || (std::isnan(a) && std::isnan(b));
  };
  for (double x = -12; x <= 12; x += 0.1875)
    if (!same(x)) return false;
  return same(-1e4) && same(1e4) && same(1e-4) && same(-1e-4);
}

// The options of rules that have some, from their values.
template <typename A>
bool is_of(const Activation& f, A a) {
  try {
    return is(f, std::move(a));
  } catch (const Error&) {  // options that the rule forbids: it is no A
    return false;
  }
}

}  // namespace

OnnxValue OnnxGraph::activate(const Activation& f, const OnnxValue& x) {
  const auto number = [&](const char* name, double value) {
    return constant(name, Tensor::scalar(value, x.example.dtype()));
  };
  const auto add = [&](const char* op, const std::vector<OnnxValue>& inputs,
                       std::vector<Attribute> attributes = {}) {
    OnnxValue y = node(op, inputs, x.example, std::move(attributes));
    y.channels_first = x.channels_first;
    y.turned = x.turned;
    return y;
  };
  const auto clip = [&](double low, double high) {
    std::vector<OnnxValue> inputs{x, {}, {}};
    if (std::isfinite(low)) inputs[1] = number("low", low);
    if (std::isfinite(high)) inputs[2] = number("high", high);
    while (inputs.back().name.empty()) inputs.pop_back();
    return add("Clip", inputs);
  };
  const auto negated = [&](const OnnxValue& v) { return add("Neg", {v}); };

  if (const auto own = options_.activations.find(f.name()); own != options_.activations.end())
    return own->second(*this, x);
  if (is(f, Identity{})) return x;
  if (is(f, ReLU{})) return add("Relu", {x});
  if (is(f, SELU{})) return add("Selu", {x});
  if (is(f, Sigmoid{})) return add("Sigmoid", {x});
  if (is(f, Tanh{})) return add("Tanh", {x});
  if (is(f, Softsign{})) return add("Softsign", {x});
  if (is(f, Mish{})) return add("Mish", {x});
  if (is(f, HardSwish{})) return add("HardSwish", {x});
  if (is(f, HardSigmoid{})) return add("HardSigmoid", {x}, {{"alpha", 1. / 6}, {"beta", 0.5}});
  if (is(f, GELU{})) return add("Gelu", {x});
  if (is(f, GELUTanh{})) return add("Gelu", {x}, {{"approximate", "tanh"}});
  if (is(f, SiLU{})) return add("Mul", {x, add("Sigmoid", {x})});
  if (is(f, ReLU6{})) return clip(0, 6);
  if (is(f, LogSigmoid{})) return negated(add("Softplus", {negated(x)}));
  if (is(f, SquaredReLU{})) {
    const OnnxValue r = add("Relu", {x});
    return add("Mul", {r, r});
  }
  if (is(f, Exp{})) return add("Exp", {x});
  if (is(f, Log{})) return add("Log", {x});
  if (is(f, Sqrt{})) return add("Sqrt", {x});
  if (is(f, Erf{})) return add("Erf", {x});
  if (is(f, Abs{})) return add("Abs", {x});
  if (is(f, Sin{})) return add("Sin", {x});
  if (is(f, Cos{})) return add("Cos", {x});

  const std::string_view name = f.name();
  const double far = 1e300;
  if (const double slope = -f.value(-1); is_of(f, LeakyReLU{slope}))
    return add("LeakyRelu", {x}, {{"alpha", slope}});
  if (const double alpha = -f.value(-1e4); name == "elu" && is_of(f, ELU{alpha}))
    return add("Elu", {x}, {{"alpha", alpha}});
  if (const double alpha = -f.value(-far); name == "celu" && is_of(f, CELU{alpha}))
    return add("Celu", {x}, {{"alpha", alpha}});
  const double low = f.value(-INFINITY), high = f.value(INFINITY);
  if (name == "hard_tanh" && is_of(f, HardTanh{low, high})) return clip(low, high);
  if (name == "clipped_relu" && is_of(f, ClippedReLU{high})) return clip(0, high);
  if (name == "thresholded_relu" && f.kinks().size() == 1 &&
      is_of(f, ThresholdedReLU{f.kinks()[0]}))
    return add("ThresholdedRelu", {x}, {{"alpha", f.kinks()[0]}});
  if (const double b = 4 * f.value(0); name == "smelu" && is_of(f, SmeLU{b})) {
    // min(max(x + b, 0), 2 b)^2 / (4 b) + max(0, x - b)
    const OnnxValue moved = add("Add", {x, number("beta", b)});
    const OnnxValue u = add("Clip", {moved, number("zero", 0), number("twice_beta", 2 * b)});
    const OnnxValue square = add("Mul", {u, add("Div", {u, number("four_beta", 4 * b)})});
    return add("Add", {square, add("Relu", {add("Sub", {x, number("beta", b)})})});
  }
  if (name == "swish") {
    const double b = 2 * f.second_derivative(0);
    if (is_of(f, Swish{b}))
      return add("Mul", {x, add("Sigmoid", {add("Mul", {x, number("beta", b)})})});
  }
  if (name == "softplus") {
    const double b = 4 * f.second_derivative(0);
    if (b == 1 && is_of(f, Softplus{b})) return add("Softplus", {x});
    if (is_of(f, Softplus{b}))
      return add("Div", {add("Softplus", {add("Mul", {x, number("beta", b)})}), number("beta", b)});
  }
  fail(
      "save_onnx: layer \"{0}\": ramp does not know the activation \"{1}\" in ONNX. Hint: "
      "options.activations[\"{1}\"] = [](OnnxGraph& graph, const OnnxValue& x) {{ return "
      "graph.node(..); }}.",
      path_, f.name());
}

// ---- layers ----

/// What each layer is. `x` is its input; next: the layers behind it, where it is in a Sequential.
struct OnnxLayers {
  OnnxGraph& g;
  using Value = OnnxValue;
  using Next = std::span<Module* const>;

  static Tensor run(Module& m, const Value& x) { return m.forward(x.example); }
  Value one(const Tensor& like, double value) {
    return g.constant("number", Tensor::scalar(value, like.dtype()));
  }
  // A constant for each channel of x.
  Value per_channel(const char* name, Tensor t, const Value& x) {
    if (x.turned.rank() > 0 && t.numel() > 1) t = turn(t, 0, x.turned);
    return g.constant(name, t);
  }
  // The same, to be broadcast against x.
  Value stretched(const char* name, const Tensor& t, const Value& x) {
    if (!x.channels_first || t.numel() == 1) return per_channel(name, t, x);
    Shape shape{t.numel()};
    for (int i = 2; i < x.example.rank(); ++i) shape = shape.with(i - 1, 1);
    return g.constant(name, t.detach().view(shape));
  }
  static int channel_axis(const Value& x) { return x.channels_first ? 1 : x.example.rank() - 1; }

  // The entries of an axis that stand for [h, w, c], in the order [c, h, w].
  static Tensor turn(const Tensor& w, int axis, const Shape& image) {
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; ++i) outer *= w.dim(i);
    for (int i = axis + 1; i < w.rank(); ++i) inner *= w.dim(i);
    const int64_t c = image.last();
    const Tensor parts = w.detach().view({outer, image.numel() / c, c, inner});
    return permute(parts, {0, 2, 1, 3}).view(w.shape());
  }
  // The image that comes out of `next`, where that begins with elementwise layers and a Reshape.
  static Shape image_ahead(Next next) {
    for (Module* m : next) {
      if (auto* r = dynamic_cast<Reshape*>(m)) {
        const bool known = r->shape.size() >= 2 && std::ranges::min(r->shape) > 0;
        return known ? Shape(r->shape) : Shape{};
      }
      auto* slope = dynamic_cast<PReLU*>(m);
      const bool elementwise = dynamic_cast<Activate*>(m) || dynamic_cast<RReLU*>(m) ||
                               dynamic_cast<Dropout*>(m) || (slope && slope->slope.numel() == 1);
      if (!elementwise) break;
    }
    return {};
  }

  Value emit(Sequential& m, const Value& x, Next) {
    std::vector<Module*> layers;
    for (Module& layer : m) layers.push_back(&layer);
    Value y = x;
    for (size_t i = 0; i < layers.size(); ++i)
      y = child(std::to_string(i), *layers[i], y, Next(layers).subspan(i + 1));
    return y;
  }
  Value emit(Residual& m, const Value& x, Next) {
    Value y = child("body", m.body, x, {}), skip = x;
    if (y.channels_first) skip = g.channels_first(skip);
    if (skip.channels_first != y.channels_first || !(skip.turned == y.turned)) {
      y = g.features_last(y);
      skip = g.features_last(skip);
    }
    return g.node("Add", {skip, y}, skip.example + y.example);
  }
  Value emit(Dense& m, const Value& given, Next next) {
    const Tensor example = run(m, given);
    Tensor w = m.weight.detach(), b = m.bias.defined() ? m.bias.detach() : Tensor();
    if (given.example.rank() == 2) {
      if (given.turned.rank() > 0) w = turn(w, 0, given.turned);
      const Shape image = image_ahead(next);
      const bool turns = image.rank() > 0 && image.numel() == w.dim(1);
      if (turns) {
        w = turn(w, 1, image);
        if (b.defined()) b = turn(b, 0, image);
      }
      std::vector<Value> inputs{given, g.constant("weight", w)};
      if (b.defined()) inputs.push_back(g.constant("bias", b));
      Value y = g.node("Gemm", inputs, example);
      y.turned = turns ? image : Shape{};
      return g.activate(m.activation, y);
    }
    Value y = g.node("MatMul", {g.features_last(given), g.constant("weight", w)}, example);
    if (b.defined()) y = g.node("Add", {y, g.constant("bias", b)}, example);
    return g.activate(m.activation, y);
  }

  template <LiteralName kName, auto kOp, int kAxes, typename Options>
  Value emit(Convolution<kName, kOp, kAxes, Options>& m, const Value& given, Next) {
    constexpr bool kTransposed = Convolution<kName, kOp, kAxes, Options>::kTransposed;
    const Value x = g.channels_first(given);
    const Tensor example = run(m, x);
    const ConvTransposeOptions o = m.options;
    const auto sizes = [](Size2d s) { return kAxes == 2 ? Ints{s.h, s.w} : Ints{s.w}; };
    const Ints stride = sizes(o.stride), dilation = sizes(o.dilation);
    Ints kernel, begin = sizes(o.padding), end = begin;
    for (int i = 0; i < kAxes; ++i) kernel.push_back(m.weight.dim(i));
    if constexpr (!kTransposed) {
      for (size_t i = 0; m.options.padding.same && i < kernel.size(); ++i) {
        const int64_t size = x.example.dim(static_cast<int>(i) + 1);
        const int64_t out = (size + stride[i] - 1) / stride[i];
        const int64_t all =
            std::max<int64_t>(0, (out - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - size);
        begin[i] = all / 2;
        end[i] = all - begin[i];
      }
    }
    begin.insert(begin.end(), end.begin(), end.end());
    std::vector<int> axes{kAxes + 1, kAxes};
    for (int i = 0; i < kAxes; ++i) axes.push_back(i);
    std::vector<Value> inputs{x, g.constant("weight", permute(m.weight.detach(), axes))};
    if (m.bias.defined()) inputs.push_back(g.constant("bias", m.bias));
    std::vector<Attribute> attributes{{"kernel_shape", kernel},
                                      {"strides", stride},
                                      {"pads", begin},
                                      {"dilations", dilation},
                                      {"group", o.groups}};
    if (kTransposed) attributes.push_back({"output_padding", sizes(o.output_padding)});
    return g.activate(m.activation,
                      g.node(kTransposed ? "ConvTranspose" : "Conv", inputs, example, attributes));
  }

  // The weight and bias of a norm, ones and zeros where it has none.
  std::pair<Value, Value> scale_and_shift(Norm& m, const Value& x) {
    const DType dtype = x.example.dtype();
    return {
        per_channel("weight",
                    m.weight.defined() ? m.weight.detach() : Tensor::ones({m.channels}, dtype), x),
        per_channel("bias", m.bias.defined() ? m.bias.detach() : Tensor::zeros({m.channels}, dtype),
                    x)};
  }
  Value emit(BatchNorm& m, const Value& given, Next) {
    const Value x = given.example.rank() == 2 ? given : g.channels_first(given);
    const auto [scale, shift] = scale_and_shift(m, x);
    const Value y =
        g.node("BatchNormalization",
               {x, scale, shift, per_channel("running_mean", m.running_mean.detach(), x),
                per_channel("running_var", m.running_var.detach(), x)},
               run(m, x), {{"epsilon", m.options.eps}});
    return g.activate(m.activation, y);
  }
  Value emit(LayerNorm& m, const Value& given, Next) {
    const Value x = given.example.rank() == 2 ? given : g.features_last(given);
    const auto [scale, shift] = scale_and_shift(m, x);
    return g.node("LayerNormalization", {x, scale, shift}, run(m, x),
                  {{"axis", -1}, {"epsilon", m.options.eps}});
  }
  // Groups of values as channels of an InstanceNormalization, then each channel's weight and bias.
  Value emit(GroupNorm& m, const Value& given, Next) {
    const Value x = given.example.rank() == 2 ? g.features_last(given) : g.channels_first(given);
    const Tensor y = run(m, x);
    const DType dtype = x.example.dtype();
    const int64_t n = y.dim(0);
    Ints shape{0, y.dim(-1)};
    for (int i = 1; i + 1 < y.rank(); ++i) shape.push_back(y.dim(i));
    const Value groups =
        g.node("Reshape", {x, g.constant("groups", Tensor::of<int64_t>({0, m.groups, -1}))},
               y.view({n, m.groups, n * m.groups > 0 ? y.numel() / (n * m.groups) : 0}));
    const Value normal = g.node("InstanceNormalization",
                                {groups, g.constant("ones", Tensor::ones({m.groups}, dtype)),
                                 g.constant("zeros", Tensor::zeros({m.groups}, dtype))},
                                groups.example, {{"epsilon", m.options.eps}});
    Value z = g.node("Reshape", {normal, g.constant("shape", Tensor::of(shape))}, y);
    z.channels_first = x.channels_first;
    if (!m.weight.defined()) return z;
    z = g.node("Mul", {z, stretched("weight", m.weight, z)}, y);
    return g.node("Add", {z, stretched("bias", m.bias, z)}, y);
  }

  template <auto kPool, typename Size, typename Options>
  Value emit(Pool<kPool, Size, Options>& m, const Value& given, Next) {
    using P = Pool<kPool, Size, Options>;
    Value x = g.channels_first(given);
    const Tensor y = run(m, x);
    const Options& o = m.options;
    const auto sizes = [](Size2d s) { return P::kImages ? Ints{s.h, s.w} : Ints{s.w}; };
    const Ints kernel = sizes(m.kernel);
    Ints stride = sizes(o.stride), begin = sizes(o.padding), end, dilation(kernel.size(), 1);
    if constexpr (P::kMax) dilation = sizes(o.dilation);
    bool beyond = false;  // the last window ends behind the padding
    int64_t window = 1;
    for (size_t i = 0; i < kernel.size(); ++i) {
      if (stride[i] == 0) stride[i] = kernel[i];
      window *= kernel[i];
      const int axis = static_cast<int>(i) + 1;
      const int64_t reach = (y.dim(axis) - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1;
      end.push_back(std::max(begin[i], reach - x.example.dim(axis) - begin[i]));
      beyond = beyond || end[i] > begin[i];
      fail_if(end[i] >= kernel[i] && end[i] > begin[i],
              "save_onnx: layer \"{}\": {} needs a padding of {} at the end, which ONNX has not. "
              "Hint: without ceil_mode.",
              g.path_, m.describe(), end[i]);
    }
    Ints pads = begin;
    pads.insert(pads.end(), end.begin(), end.end());
    std::vector<Attribute> attributes{{"kernel_shape", kernel}, {"strides", stride}};
    if constexpr (P::kMax) {
      attributes.push_back({"pads", pads});
      attributes.push_back({"dilations", dilation});
      return g.node("MaxPool", {x}, y, attributes);
    } else {
      const bool padded = std::ranges::max(begin) > 0;
      bool counts = o.count_include_pad && padded;
      if (counts && beyond && o.divisor_override == 0) {
        // The padding counts, and what is behind it does not: it becomes a part of the image.
        Ints around{0, 0};
        around.insert(around.end(), begin.begin(), begin.end());
        around.insert(around.end(), {0, 0});
        around.insert(around.end(), begin.begin(), begin.end());
        x = g.node("Pad", {x, g.constant("padding", Tensor::of(around))}, x.example);
        for (size_t i = 0; i < kernel.size(); ++i) {
          pads[i] = 0;
          pads[kernel.size() + i] = end[i] - begin[i];
        }
        counts = false;
      }
      attributes.push_back({"pads", pads});
      const bool divides = o.divisor_override != 0;
      attributes.push_back({"count_include_pad", int64_t{counts || divides}});
      const Value mean = g.node("AveragePool", {x}, y, attributes);
      if (!divides) return mean;
      const double factor = static_cast<double>(window) / static_cast<double>(o.divisor_override);
      return g.node("Mul", {mean, one(y, factor)}, y);
    }
  }
  // Windows of one size are a pool. Else the means of an axis are a product with a matrix, and the
  // largest values are taken slice by slice.
  template <LiteralName kName, auto kPool>
  Value emit(AdaptivePool2d<kName, kPool>& m, const Value& given, Next) {
    constexpr bool kMax = std::same_as<AdaptivePool2d<kName, kPool>, AdaptiveMaxPool2d>;
    Value x = g.channels_first(given);
    const Tensor y = run(m, x);
    const int64_t h = x.example.dim(1), w = x.example.dim(2);
    const int64_t sizes[] = {h, w}, to[] = {m.size.h, m.size.w};
    if (h % to[0] == 0 && w % to[1] == 0) {
      const Ints kernel{h / to[0], w / to[1]};
      return g.node(kMax ? "MaxPool" : "AveragePool", {x}, y,
                    {{"kernel_shape", kernel}, {"strides", kernel}});
    }
    for (int axis = 0; axis < 2; ++axis) {
      const int64_t n = sizes[axis], k = to[axis];
      Tensor means = Tensor::zeros({k, n}, y.dtype());
      std::vector<Value> slices;
      for (int64_t i = 0; i < k; ++i) {
        const int64_t begin = i * n / k, end = ((i + 1) * n + k - 1) / k;
        if (!kMax) {
          means[i].rows(begin, end).fill_(1 / static_cast<double>(end - begin));
          continue;
        }
        const auto index = [&](const char* name, int64_t at) {
          return g.constant(fmt::format("{}_{}", name, at), Tensor::of<int64_t>({at}));
        };
        const Value part =
            g.node("Slice", {x, index("at", begin), index("at", end), index("at", axis + 2)}, y);
        slices.push_back(g.node("ReduceMax", {part, index("at", axis + 2)}, y, {{"keepdims", 1}}));
      }
      if (kMax) {
        x = g.node("Concat", slices, y, {{"axis", axis + 2}});
      } else if (axis == 0) {
        x = g.node("MatMul", {g.constant("rows", means), x}, y);
        x.channels_first = true;
      } else {
        x = g.node("MatMul", {x, g.constant("columns", permute(means, {1, 0}))}, y);
      }
    }
    return x;
  }
  Value emit(GlobalAvgPool& m, const Value& x, Next) { return global("GlobalAveragePool", m, x); }
  Value emit(GlobalMaxPool& m, const Value& x, Next) { return global("GlobalMaxPool", m, x); }
  Value global(const char* op, Module& m, const Value& given) {
    const Value x = g.channels_first(given);
    return g.node("Flatten", {g.node(op, {x}, x.example)}, run(m, x), {{"axis", 1}});
  }

  Value emit(Flatten& m, const Value& given, Next) {
    const int rank = given.example.rank();
    if (rank == 2) return given;
    const Value x = m.options.channels_first ? g.channels_first(given) : given;
    Value y = g.node("Flatten", {x}, run(m, x), {{"axis", 1}});
    const Shape image = x.example.shape().without(0);
    const int64_t c = image.last();
    if (x.channels_first && !m.options.channels_first && c > 1 && c < image.numel())
      y.turned = image;
    return y;
  }
  Value emit(Reshape& m, const Value& given, Next) {
    const Tensor y = run(m, given);
    const Shape image = y.shape().without(0);
    if (given.turned.rank() > 0 && given.turned == image) {
      Ints shape{0, image.last()};
      shape.insert(shape.end(), image.begin(), image.end() - 1);
      Value z = g.node("Reshape", {given, g.constant("shape", Tensor::of(shape))}, y);
      z.channels_first = true;
      return z;
    }
    Ints shape{0};
    shape.insert(shape.end(), image.begin(), image.end());
    Value z =
        g.node("Reshape", {g.features_last(given), g.constant("shape", Tensor::of(shape))}, y);
    z.channels_first = false;
    z.turned = {};
    return z;
  }

  template <LiteralName kName, auto kNearest, auto kBilinear>
  Value emit(Resampling<kName, kNearest, kBilinear>& m, const Value& given, Next) {
    Value x = g.channels_first(given);
    const Tensor y = run(m, x);
    const int64_t from[] = {x.example.dim(1), x.example.dim(2)}, to[] = {y.dim(1), y.dim(2)};
    if (m.options.bilinear) {
      const char* how = m.options.align_corners ? "align_corners" : "half_pixel";
      return g.node(
          "Resize", {x, {}, {}, g.constant("size", Tensor::of<int64_t>({to[0], to[1]}))}, y,
          {{"mode", "linear"}, {"coordinate_transformation_mode", how}, {"axes", Ints{2, 3}}});
    }
    if (to[0] % from[0] == 0 && to[1] % from[1] == 0) {
      const Tensor scales = Tensor::of<float>(
          {1, 1, static_cast<float>(to[0] / from[0]), static_cast<float>(to[1] / from[1])});
      return g.node("Resize", {x, {}, g.constant("scales", scales)}, y,
                    {{"mode", "nearest"},
                     {"coordinate_transformation_mode", "asymmetric"},
                     {"nearest_mode", "floor"}});
    }
    // Which pixel is the nearest depends on rounding in whoever reads the file: it is said.
    for (int axis = 0; axis < 2; ++axis) {
      Ints index;
      for (int64_t i = 0; i < to[axis]; ++i) index.push_back(i * from[axis] / to[axis]);
      x = g.node("Gather", {x, g.constant(axis == 0 ? "rows" : "columns", Tensor::of(index))}, y,
                 {{"axis", axis + 2}});
    }
    return x;
  }

  Value emit(Activate& m, const Value& x, Next) { return g.activate(m.activation, x); }
  Value emit(RReLU& m, const Value& x, Next) { return g.activate(m.mean(), x); }
  Value emit(PReLU& m, const Value& x, Next) {
    return g.node("PRelu", {x, stretched("slope", m.slope, x)}, run(m, x));
  }
  Value emit(CReLU& m, const Value& given, Next) {
    const Value x = given.turned.rank() > 0 ? g.features_last(given) : given;
    const Value positive = g.node("Relu", {x}, x.example);
    const Value negative = g.node("Relu", {g.node("Neg", {x}, x.example)}, x.example);
    return g.node("Concat", {positive, negative}, run(m, x), {{"axis", channel_axis(x)}});
  }
  Value emit(GLU& m, const Value& given, Next) {
    const Value x = given.turned.rank() > 0 ? g.features_last(given) : given;
    const Tensor y = run(m, x);
    Value a = g.node("Split", {x}, y, {{"axis", channel_axis(x)}, {"num_outputs", 2}}), b = a;
    b.name = g.unique(a.name + ".gate");
    g.file_.nodes.back().outputs.push_back(b.name);
    return g.node("Mul", {a, g.node("Sigmoid", {b}, y)}, y);
  }
  Value emit(Softmax& m, const Value& x, Next) {
    return g.node("Softmax", {x}, run(m, x), {{"axis", channel_axis(x)}});
  }
  Value emit(LogSoftmax& m, const Value& x, Next) {
    return g.node("LogSoftmax", {x}, run(m, x), {{"axis", channel_axis(x)}});
  }
  Value emit(Dropout&, const Value& x, Next) { return x; }
  Value emit(Dropout2d&, const Value& x, Next) { return x; }

  // The table, with a row of zeros for the padding: at its end for an id that is none of its rows.
  Value table(const Tensor& weight, std::optional<int64_t> padding) {
    if (!padding) return g.constant("weight", weight);
    const int64_t n = weight.dim(0);
    Tensor w = weight.detach();
    if (*padding >= 0 && *padding < n) {
      w = w.clone();
      w[*padding].fill_(0);
    } else {
      fail_if(*padding != -1 && *padding != n,
              "save_onnx: layer \"{}\": a padding of {} has no row in the file. Hint: -1.", g.path_,
              *padding);
      w = concat({w, Tensor::zeros({1, w.dim(1)}, w.dtype())});
    }
    return g.constant("weight", w);
  }
  Value emit(Embedding& m, const Value& ids, Next) {
    return g.node("Gather", {table(m.weight, m.options.padding), ids}, run(m, ids));
  }
  Value emit(EmbeddingBag& m, const Value& ids, Next) {
    const Tensor y = run(m, ids);
    const Value rows = g.node("Gather", {table(m.weight, m.options.padding), ids},
                              embedding(m.weight, ids.example, {m.options.padding}));
    const auto along = [&](int64_t axis) {
      return g.constant("axis", Tensor::of<int64_t>({axis}));
    };
    if (!m.options.padding || !m.options.mean)
      return g.node(m.options.mean ? "ReduceMean" : "ReduceSum", {rows, along(-2)}, y,
                    {{"keepdims", 0}});
    const Value none =
        g.node("Equal", {ids, g.constant("padding", Tensor::of<int64_t>({*m.options.padding}))},
               ids.example);
    const Value some = g.node("Cast", {g.node("Not", {none}, ids.example)}, ids.example,
                              {{"to", onnx::type_of(y.dtype())}});
    const Value count = g.node("ReduceSum", {some, along(-1)}, ids.example, {{"keepdims", 1}});
    const Value sum = g.node("ReduceSum", {rows, along(-2)}, y, {{"keepdims", 0}});
    return g.node("Div", {sum, g.node("Max", {count, one(y, 1)}, ids.example)}, y);
  }

  template <typename... L>
  bool emit_if(ModuleBase& m, const Value& x, Next next, Value& y) {
    const auto take = [&](auto* layer) {
      if (layer) y = emit(*layer, x, next);
      return layer != nullptr;
    };
    return (take(dynamic_cast<L*>(&m)) || ...);
  }

  // A type of this list.
  template <typename... L>
  struct List {
    static bool holds(ModuleBase& m) { return ((dynamic_cast<L*>(&m) != nullptr) || ...); }
    static bool emit(OnnxLayers& layers, ModuleBase& m, const Value& x, Next next, Value& y) {
      return layers.emit_if<L...>(m, x, next, y);
    }
  };
  using Layers = List<Sequential, Residual, Dense, Conv2d, Conv1d, ConvTranspose2d, ConvTranspose1d,
                      BatchNorm, LayerNorm, GroupNorm, MaxPool2d, AvgPool2d, MaxPool1d, AvgPool1d,
                      AdaptiveAvgPool2d, AdaptiveMaxPool2d, GlobalAvgPool, GlobalMaxPool, Flatten,
                      Reshape, Upsample, Resize, Activate, RReLU, PReLU, CReLU, GLU, Softmax,
                      LogSoftmax, Dropout, Dropout2d, Embedding, EmbeddingBag>;
  static bool is_known(ModuleBase& m) { return Layers::holds(m); }
  bool emit_known(ModuleBase& m, const Value& x, Next next, Value& y) {
    return Layers::emit(*this, m, x, next, y);
  }
  Value trace(Module& m, const Value& x);

  Value child(const std::string& name, ModuleBase& m, const Value& x, Next next) {
    const std::string outer = g.path_;
    g.path_ = outer.empty() ? name : name.empty() ? outer : outer + "." + name;
    const Value y = layer(m, x, next);
    g.path_ = outer;
    return y;
  }
  Value layer(ModuleBase& m, const Value& x, Next next) {
    Value y;
    for (const auto& hook : g.options_.layers)
      if (hook(g, m, x, y)) return y;
    if (auto* own = is_known(m) ? nullptr : dynamic_cast<Module*>(&m)) return trace(*own, x);
    const bool known = emit_known(m, x, next, y);
    fail_if(
        !known,
        "save_onnx: layer \"{}\", {}, takes or gives more than one tensor. Hint: say what it is in "
        "the file: options.layer<Its type>([](OnnxGraph& graph, auto& layer, const OnnxValue& x) "
        "{{ .. }}).",
        g.path_, m.describe());
    return y;
  }
};

// ---- models that are plain C++ ----

namespace {

bool equal_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  return visit_dtype(a.dtype(), [&]<typename T>(T) {
    return std::equal(a.data<T>(), a.data<T>() + a.numel(), b.data<T>(),
                      [](T p, T q) { return p == q || (p != p && q != q); });
  });
}

// What one run of a module left on the tape, and which modules gave what.
struct Trace {
  struct Op {
    const char* name;
    Tensor y;
    std::vector<Tensor> x;
    std::vector<ModuleBase*> modules;  // whose result y is, the innermost first
  };
  std::unordered_map<const Node*, Op> ops;  // by the node of y
  Tensor start, y;

  Trace(Module& m, const Tensor& x) : start(x.detach().view(x.shape())) {
    const std::function<void(const Node&, const Tensor&, const Inputs&)> on_op =
        [&](const Node& node, const Tensor& result, const Inputs& inputs) {
          Op op{node.op, result, {}, {}};
          for (size_t i = 0; i < inputs.size; ++i) op.x.push_back(inputs[i]);
          ops.emplace(&node, std::move(op));
        };
    const std::function<void(ModuleBase&, const std::vector<Tensor>&)> on_module =
        [&](ModuleBase& module, const std::vector<Tensor>& results) {
          if (results.size() != 1) return;
          const auto found = ops.find(node_of(results[0]));
          if (found != ops.end()) found->second.modules.push_back(&module);
        };
    const auto op_before = std::exchange(detail::op_watch, &on_op);
    const auto module_before = std::exchange(detail::watch, &on_module);
    const auto restore = [&] {
      detail::op_watch = op_before;
      detail::watch = module_before;
    };
    try {
      const Recording on(true);
      if (is_float(start.dtype())) start.requires_grad_();
      y = m.forward(start);
    } catch (...) {
      restore();
      throw;
    }
    restore();
  }

  // What `module` made y of: the nearest value before it that it makes y of again.
  Tensor input_of(Module& module, const Op& made) const {
    std::deque<const Op*> next{&made};
    std::set<const void*> seen;
    while (!next.empty()) {
      const Op* op = next.front();
      next.pop_front();
      for (const Tensor& x : op->x) {
        const Node* node = node_of(x);
        if (!x.defined() || (node && node->parameter) ||
            !seen.insert(node ? static_cast<const void*>(node) : x.address()).second)
          continue;
        try {
          if (equal_bits(module.forward(x.detach()), made.y.detach())) return x;
        } catch (const Error&) {  // it does not take such an x
        }
        if (const auto before = ops.find(node); before != ops.end())
          next.push_back(&before->second);
      }
    }
    return {};
  }
};

}  // namespace

// Modules that ramp knows, or a hook does, are written as such; between them stand ops, whose
// options the tape does not have: they are what gives the same bits, or the op is refused.
OnnxValue OnnxLayers::trace(Module& m, const Value& input) {
  const Trace t(m, input.example);
  const Fields fields(m);
  std::unordered_map<const Node*, Value> values;
  if (node_of(t.start)) values[node_of(t.start)] = input;
  const std::string path = g.path_;

  std::function<Value(const Tensor&)> value_of;
  const auto op_value = [&](const Trace::Op& op) -> Value {
    const std::string name = op.name;
    const Tensor y = op.y.detach();
    std::vector<Tensor> x;
    std::vector<Value> v;
    for (const Tensor& input : op.x) {
      if (!input.defined()) continue;
      x.push_back(input.detach());
      v.push_back(value_of(input));
    }
    const auto is = [&](const Tensor& z) { return equal_bits(z, y); };
    const auto all_last = [&] {
      for (Value& one : v) one = g.features_last(one);
    };
    const std::map<std::string, const char*> binary{
        {"add", "Add"}, {"sub", "Sub"}, {"mul", "Mul"}, {"div", "Div"}};
    if (const auto found = binary.find(name); found != binary.end()) {
      if (x[0].shape() != x[1].shape() || v[0].channels_first != v[1].channels_first ||
          !(v[0].turned == v[1].turned)) {
        const bool one_number = x[1].numel() == 1 && x[0].rank() >= x[1].rank();
        if (!one_number) all_last();
      }
      return g.node(found->second, v, y);
    }
    if (name == "neg") return g.node("Neg", v, y);
    for (const Activation& f :
         {Activation(ReLU{}),       Activation(Sigmoid{}),     Activation(Tanh{}),
          Activation(GELU{}),       Activation(GELUTanh{}),    Activation(SiLU{}),
          Activation(Mish{}),       Activation(SELU{}),        Activation(ReLU6{}),
          Activation(HardSwish{}),  Activation(HardSigmoid{}), Activation(Softsign{}),
          Activation(LogSigmoid{}), Activation(SquaredReLU{}), Activation(Exp{}),
          Activation(Log{}),        Activation(Sqrt{}),        Activation(Erf{}),
          Activation(Abs{}),        Activation(Sin{}),         Activation(Cos{})})
      if (name == f.name() && is(ramp::activate(x[0], f))) return g.activate(f, v[0]);
    if (name == "reshape" && y.rank() > 0 && x[0].rank() > 0 && y.dim(0) == x[0].dim(0)) {
      Flatten flat;
      if (y.rank() == 2 && x[0].rank() > 2) return emit(flat, v[0], {});
      Reshape shape({y.shape().begin() + 1, y.shape().end()});
      return emit(shape, v[0], {});
    }
    if (name == "concat") {
      const bool first = std::ranges::all_of(v, &Value::channels_first);
      if (!first) all_last();
      for (int axis = 1; axis < y.rank(); ++axis) {
        try {
          if (!is(concat(x, axis))) continue;
        } catch (const Error&) {  // other shapes
          continue;
        }
        const int at = !first ? axis : axis + 1 == y.rank() ? 1 : axis + 1;
        return g.node("Concat", v, y, {{"axis", at}});
      }
    }
    if (name == "linear" && is(linear(x[0], x[1], x.size() > 2 ? x[2] : Tensor()))) {
      all_last();
      const Value product = g.node("MatMul", {v[0], v[1]}, y);
      return x.size() > 2 ? g.node("Add", {product, v[2]}, y) : product;
    }
    if (name == "matmul" && is(matmul(x[0], x[1]))) {
      all_last();
      return g.node("MatMul", v, y);
    }
    if (name == "prelu") {
      PReLU layer(x[1].numel());
      layer.slope = x[1];
      return emit(layer, v[0], {});
    }
    Softmax soft;
    LogSoftmax log_soft;
    GlobalAvgPool mean_pool;
    MaxPool2d max_pool(2);
    AvgPool2d avg_pool(2);
    try {
      if (name == "softmax" && is(soft.forward(x[0]))) return emit(soft, v[0], {});
      if (name == "log_softmax" && is(log_soft.forward(x[0]))) return emit(log_soft, v[0], {});
      if (name == "max_pool2d" && is(max_pool.forward(x[0]))) return emit(max_pool, v[0], {});
      if (name == "avg_pool2d" && is(avg_pool.forward(x[0]))) return emit(avg_pool, v[0], {});
      if (name == "mean" && is(mean_pool.forward(x[0]))) return emit(mean_pool, v[0], {});
    } catch (const Error&) {  // other shapes
    }
    fail(
        "save_onnx: layer \"{}\", {}: the op {} of its forward(), or its options, are not known in "
        "ONNX. Hint: make it a layer that fields() names, or say what {} is: options.layer<Its "
        "type>([](OnnxGraph& graph, auto& layer, const OnnxValue& x) {{ .. }}).",
        path, m.describe(), name, m.describe());
  };
  const auto module_value = [&](const Trace::Op& op, ModuleBase& module, Value& y) {
    auto* layer = dynamic_cast<Module*>(&module);
    const auto field = std::ranges::find(fields, &module, &Field::module);
    const Tensor x = layer && field != fields.end() ? t.input_of(*layer, op) : Tensor();
    if (!x.defined()) return false;
    const Value before = value_of(x);
    if (is_known(module)) {
      y = child(field->path, module, before, {});
      return true;
    }
    g.path_ = path.empty() ? field->path : path + "." + field->path;
    const bool hooked = std::ranges::any_of(
        g.options_.layers, [&](const auto& hook) { return hook(g, module, before, y); });
    g.path_ = path;
    return hooked;
  };
  value_of = [&](const Tensor& tensor) -> Value {
    const Node* node = node_of(tensor);
    if (const auto found = values.find(node); node && found != values.end()) return found->second;
    const auto op = t.ops.find(node);
    if (op == t.ops.end()) {
      if (tensor.same_memory(t.start) && tensor.shape() == t.start.shape()) return input;
      const auto field = std::ranges::find_if(fields, [&](const Field& f) {
        return f.tensor && f.tensor->defined() && f.tensor->same_memory(tensor);
      });
      return g.constant(field == fields.end() ? "constant" : field->path, tensor);
    }
    Value y;
    bool done = false;
    // The outermost one that is known; a module without a hook is what it is made of.
    const auto& modules = op->second.modules;
    for (auto module = modules.rbegin(); module != modules.rend() && !done; ++module)
      if (is_known(**module) || !g.options_.layers.empty())
        done = module_value(op->second, **module, y);
    if (!done) y = op_value(op->second);
    return values[node] = y;
  };
  return value_of(t.y);
}

OnnxValue OnnxGraph::child(const std::string& name, ModuleBase& module, const OnnxValue& x) {
  return OnnxLayers{*this}.child(name, module, x, {});
}

// ---- the file ----

namespace {

onnx::Value declared(const OnnxValue& x, const std::string& batch) {
  onnx::Value v{x.name, onnx::type_of(x.example.dtype()), true, {-1}, {batch}};
  const Shape& s = x.example.shape();
  if (x.channels_first) v.dims.push_back(s.last());
  for (int i = 1; i < s.rank() - (x.channels_first ? 1 : 0); ++i) v.dims.push_back(s[i]);
  v.dim_names.resize(v.dims.size());
  return v;
}

// Runs the file beside the model, on another input and another size of batch than those it was made
// with. What OnnxModel does not read, ops of a hook, is left to others.
void check_file(const std::string& bytes, Module& net, const Tensor& example,
                const OnnxExportOptions& options) {
  std::optional<OnnxModel> file;
  try {
    file = OnnxModel::from_bytes(bytes, "it", {.channels_first = true});
  } catch (const Error&) {
    return;
  }
  Shape three = example.shape();
  three[0] = 3;
  const bool floats = is_float(example.dtype());
  const Tensor x =
      floats ? Rng(2).normal(three).to(example.dtype()) : concat({example, example, example});
  const auto in_file = [&](const Tensor& t) {
    return floats && !options.channels_last ? onnx::as_in_file({t, t.rank() >= 3}).t : t;
  };
  const Tensor y = in_file(net(x)), z = (*file)(in_file(x));
  const auto a = y.values(), b = z.values();
  double off = y.shape() == z.shape() ? 0 : INFINITY, most = 1;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (std::isfinite(a[i])) most = std::max(most, std::fabs(a[i]));
    const bool same = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]));
    if (!same) off = std::max(off, std::isnan(a[i] - b[i]) ? INFINITY : std::fabs(a[i] - b[i]));
  }
  fail_if(!(off <= 1e-3 * most),
          "save_onnx: the file would give something else than the model for x {}: it is off by "
          "{:.2g}, of values up to {:.2g}. Hint: does forward() depend on the numbers or on the "
          "batch, or is a hook wrong?",
          x.shape(), off, most);
}

}  // namespace

void save_onnx(const std::string& path, ModuleBase& net, const Tensor& input,
               const OnnxExportOptions& options) {
  check_defined("save_onnx", "the input", input);
  fail_if(input.rank() < 1, "save_onnx: expected an input with a batch axis; got a scalar.");
  const NoGrad no_grad;
  const EvalMode eval;
  OnnxGraph graph(options);
  onnx::File& file = graph.file_;
  const bool first = is_float(input.dtype()) && !options.channels_last;  // ids have no channels
  OnnxValue x{options.input, input.detach(), first && input.rank() >= 3, {}};
  graph.names_ = {options.input, options.output};
  file.inputs.push_back(declared(x, options.batch));
  OnnxValue y = graph.child("", net, x);
  y = first && y.turned.rank() == 0 ? graph.channels_first(y) : graph.features_last(y);
  if (y.name == options.input) y = graph.node("Identity", {y}, y.example);
  for (onnx::Node& node : file.nodes) {
    std::ranges::replace(node.inputs, y.name, options.output);
    std::ranges::replace(node.outputs, y.name, options.output);
  }
  y.name = options.output;
  fail_if(y.example.rank() < 1 || y.example.dim(0) != input.dim(0),
          "save_onnx: expected a result for each sample; got {} for {}.", y.example.shape(),
          input.shape());
  file.outputs.push_back(declared(y, options.batch));
  file.producer = "ramp";
  file.version = RAMP_VERSION;
  file.graph_name = "ramp";
  const std::string bytes = onnx::encode(file);
  if (auto* one = dynamic_cast<Module*>(&net)) check_file(bytes, *one, input.detach(), options);
  NewFile to("save_onnx", path);
  to.write(bytes.data(), bytes.size());
  to.finish();
}

void save_onnx(const std::string& path, ModuleBase& net, const Shape& input,
               const OnnxExportOptions& options) {
  const auto parameters = net.parameters();
  const DType dtype = parameters.empty() ? f32 : parameters[0].dtype();
  Shape two = input;  // a batch is not taken for an axis of size 1
  if (two.rank() > 0 && two[0] == 1) two[0] = 2;
  save_onnx(path, net, Rng(1).normal(two).to(dtype), options);
}

}  // namespace ramp
