#include "ramp/io/onnx_proto.h"

#ifdef RAMP_PROTOZERO
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#endif

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace ramp::onnx {

std::string type_name(int64_t t) {
  static constexpr std::array kNames{"no type",    "float",   "uint8",  "int8",   "uint16",
                                     "int16",      "int32",   "int64",  "string", "bool",
                                     "float16",    "double",  "uint32", "uint64", "complex64",
                                     "complex128", "bfloat16"};
  return t >= 0 && t < std::ssize(kNames) ? kNames[static_cast<size_t>(t)]
                                          : fmt::format("type {}", t);
}

#ifndef RAMP_PROTOZERO

namespace {
[[noreturn]] void missing() {
  fail(
      "onnx: ramp was built without protozero. Hint: install it (Debian: apt-get install "
      "libprotozero-dev) and build ramp again.");
}
}  // namespace
std::string encode(const File&) { missing(); }
File decode(std::string_view, const std::string&) { missing(); }

#else

namespace {

static_assert(std::endian::native == std::endian::little, "raw_data lies in this order");

using protozero::data_view;
using protozero::pbf_reader;
using protozero::pbf_writer;

// ---- writing: the numbers are those of onnx.proto's fields ----

void write_tensor(pbf_writer to, const std::string& name, const Tensor& t) {
  for (const int64_t d : t.shape()) to.add_int64(1, d);
  to.add_int32(2, static_cast<int32_t>(type_of(t.dtype())));
  if (!name.empty()) to.add_string(8, name);
  to.add_bytes(9, static_cast<const char*>(t.address()),
               static_cast<size_t>(t.numel()) * size_of(t.dtype()));
}

void write_attribute(pbf_writer to, const Attribute& a) {
  to.add_string(1, a.name);
  if (a.kind == Attribute::kReal) to.add_float(2, a.real);
  if (a.kind == Attribute::kInt) to.add_int64(3, a.integer);
  if (a.kind == Attribute::kText) to.add_bytes(4, a.text);
  if (a.kind == Attribute::kTensor) write_tensor(pbf_writer(to, 5), "", a.tensor);
  for (const float x : a.reals) to.add_float(7, x);
  for (const int64_t i : a.integers) to.add_int64(8, i);
  to.add_enum(20, static_cast<int32_t>(a.kind));
}

void write_node(pbf_writer to, const Node& node) {
  for (const std::string& x : node.inputs) to.add_string(1, x);
  for (const std::string& y : node.outputs) to.add_string(2, y);
  to.add_string(3, node.name);
  to.add_string(4, node.op);
  for (const Attribute& a : node.attributes) write_attribute(pbf_writer(to, 5), a);
}

void write_value(pbf_writer to, const Value& value) {
  to.add_string(1, value.name);
  pbf_writer type(to, 2), tensor(type, 1);
  tensor.add_int32(1, static_cast<int32_t>(value.type));
  pbf_writer shape(tensor, 2);
  for (size_t i = 0; i < value.dims.size(); ++i) {
    pbf_writer dim(shape, 1);
    if (value.dims[i] >= 0) {
      dim.add_int64(1, value.dims[i]);
    } else {
      dim.add_string(2, value.dim_names[i]);
    }
  }
}

}  // namespace

std::string encode(const File& file) {
  double size = 0;
  for (const Constant& c : file.constants)
    size += static_cast<double>(c.value.numel()) * static_cast<double>(size_of(c.value.dtype()));
  fail_if(size > 2e9, "save_onnx: a file holds 2 GB; the weights take {:.1f} GB.", size / 1e9);

  std::string bytes;
  pbf_writer model(bytes);
  model.add_int64(1, file.ir_version);
  model.add_string(2, file.producer);
  model.add_string(3, file.version);
  {
    pbf_writer graph(model, 7);
    for (const Node& node : file.nodes) write_node(pbf_writer(graph, 1), node);
    graph.add_string(2, file.graph_name);
    for (const Constant& c : file.constants) write_tensor(pbf_writer(graph, 5), c.name, c.value);
    for (const Value& x : file.inputs) write_value(pbf_writer(graph, 11), x);
    for (const Value& y : file.outputs) write_value(pbf_writer(graph, 12), y);
  }
  pbf_writer opset(model, 8);
  opset.add_string(1, "");
  opset.add_int64(2, file.opset);
  opset.commit();
  return bytes;
}

// ---- reading ----

namespace {

// What a field holds. Errors: it is of another kind than onnx.proto says; the library itself does
// not look.
void expect_kind(const pbf_reader& from, protozero::pbf_wire_type kind) {
  if (from.wire_type() != kind) throw protozero::unknown_pbf_wire_type_exception();
}
data_view view(pbf_reader& from) {
  expect_kind(from, protozero::pbf_wire_type::length_delimited);
  return from.get_view();
}
int64_t integer(pbf_reader& from) {
  expect_kind(from, protozero::pbf_wire_type::varint);
  return from.get_int64();
}
float real(pbf_reader& from) {
  expect_kind(from, protozero::pbf_wire_type::fixed32);
  return from.get_float();
}

std::string text_of(data_view view) { return {view.data(), view.size()}; }

// A repeated field of numbers, of which there may be many in one or one in each.
template <typename T, typename Range>
void read_packed(pbf_reader& from, protozero::pbf_wire_type one, T (pbf_reader::*read_one)(),
                 Range (pbf_reader::*read_all)(), std::vector<T>& to) {
  if (from.wire_type() == one) {
    to.push_back((from.*read_one)());
    return;
  }
  expect_kind(from, protozero::pbf_wire_type::length_delimited);
  const Range all = (from.*read_all)();
  to.reserve(to.size() + all.size());
  for (const T x : all) to.push_back(x);
}
void read_int64s(pbf_reader& from, std::vector<int64_t>& to) {
  read_packed(from, protozero::pbf_wire_type::varint, &pbf_reader::get_int64,
              &pbf_reader::get_packed_int64, to);
}
void read_floats(pbf_reader& from, std::vector<float>& to) {
  read_packed(from, protozero::pbf_wire_type::fixed32, &pbf_reader::get_float,
              &pbf_reader::get_packed_float, to);
}

// The numbers of raw data, of this type in the file.
template <typename From, typename To>
Tensor convert(std::string_view raw, const Shape& shape, To (*f)(From)) {
  Tensor y = Tensor::empty(shape, dtype_of<To>());
  To* to = y.mutable_data<To>();
  for (size_t i = 0; i < raw.size() / sizeof(From); ++i) {
    From x;
    std::memcpy(&x, raw.data() + i * sizeof(From), sizeof(From));
    to[i] = f(x);
  }
  return y;
}
template <typename From>
Tensor integers(std::string_view raw, const Shape& shape) {
  return convert<From, int64_t>(raw, shape, [](From x) -> int64_t { return x; });
}
float half_to_float(uint16_t h) {
  const int exponent = h >> 10 & 31, fraction = h & 1023;
  const float size = exponent == 31 ? (fraction ? NAN : INFINITY)
                     : exponent == 0
                         ? std::ldexp(static_cast<float>(fraction), -24)
                         : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return h >> 15 ? -size : size;
}
float bfloat_to_float(uint16_t h) { return std::bit_cast<float>(uint32_t{h} << 16); }

size_t bytes_of(int64_t type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
    case kHalf:
    case kBfloat16:
      return 2;
    case kFloat:
    case kInt32:
    case kUint32:
      return 4;
    case kDouble:
    case kInt64:
      return 8;
    default:
      return 0;
  }
}

Tensor from_raw(std::string_view raw, const Shape& shape, int64_t type) {
  switch (type) {
    case kFloat:
      return convert<float, float>(raw, shape, [](float x) { return x; });
    case kDouble:
      return convert<double, double>(raw, shape, [](double x) { return x; });
    case kInt64:
      return integers<int64_t>(raw, shape);
    case kInt32:
      return integers<int32_t>(raw, shape);
    case kUint32:
      return integers<uint32_t>(raw, shape);
    case kInt16:
      return integers<int16_t>(raw, shape);
    case kUint16:
      return integers<uint16_t>(raw, shape);
    case kInt8:
      return integers<int8_t>(raw, shape);
    case kUint8:
    case kBool:
      return integers<uint8_t>(raw, shape);
    case kHalf:
      return convert<uint16_t, float>(raw, shape, half_to_float);
    default:
      return convert<uint16_t, float>(raw, shape, bfloat_to_float);
  }
}

Constant read_tensor(pbf_reader from) {
  Constant c;
  std::vector<int64_t> dims, wide;
  std::vector<float> floats;
  std::vector<double> doubles;
  std::optional<data_view> raw;
  bool elsewhere = false;
  c.type = 0;
  while (from.next()) {
    switch (from.tag()) {
      case 1:
        read_int64s(from, dims);
        break;
      case 2:
        c.type = integer(from);
        break;
      case 4:
        read_floats(from, floats);
        break;
      case 5:  // int32_data, sign extended
      case 7:
        read_int64s(from, wide);
        break;
      case 8:
        c.name = text_of(view(from));
        break;
      case 9:
        raw = view(from);
        break;
      case 10:
        read_packed(from, protozero::pbf_wire_type::fixed64, &pbf_reader::get_double,
                    &pbf_reader::get_packed_double, doubles);
        break;
      case 3:
      case 13:
      case 14:
        elsewhere = elsewhere || from.tag() != 14 || integer(from) != 0;
        if (from.tag() != 14) from.skip();
        break;
      default:
        from.skip();
    }
  }
  fail_if(elsewhere,
          "tensor \"{}\" has its data in another file or in segments. Hint: save the model as one "
          "file, with onnx.save_model(.., save_as_external_data=False).",
          c.name);
  const size_t bytes = bytes_of(c.type);
  fail_if(bytes == 0, "tensor \"{}\" is of {}, which ramp does not read.", c.name,
          type_name(c.type));
  fail_if(dims.size() > size_t{Shape::kMaxRank}, "tensor \"{}\" has {} dimensions; ramp has 8.",
          c.name, dims.size());
  const Shape shape(dims);
  const size_t count = raw ? raw->size() / bytes : floats.size() + doubles.size() + wide.size();
  fail_if(static_cast<int64_t>(count) != shape.numel() || (raw && raw->size() % bytes != 0) ||
              (raw && floats.size() + doubles.size() + wide.size() > 0),
          "tensor \"{}\" of shape {} has data of {} values.", c.name, shape, count);
  if (raw) {
    c.value = from_raw({raw->data(), raw->size()}, shape, c.type);
  } else if (c.type == kFloat && floats.size() == count) {
    c.value = Tensor::of(floats, shape);
  } else if (c.type == kDouble && doubles.size() == count) {
    c.value = Tensor::of(doubles, shape);
  } else if ((c.type == kHalf || c.type == kBfloat16) && wide.size() == count) {
    std::vector<float> values;
    for (const int64_t bits : wide)
      values.push_back(
          (c.type == kHalf ? half_to_float : bfloat_to_float)(static_cast<uint16_t>(bits)));
    c.value = Tensor::of(values, shape);
  } else if (c.type != kFloat && c.type != kDouble && wide.size() == count) {
    c.value = Tensor::of(wide, shape);
  } else {
    fail("tensor \"{}\" of {} has data of another type.", c.name, type_name(c.type));
  }
  return c;
}

Attribute read_attribute(pbf_reader from) {
  Attribute a;
  std::optional<Constant> tensor;
  bool reals = false;
  while (from.next()) {
    switch (from.tag()) {
      case 1:
        a.name = text_of(view(from));
        break;
      case 2:
        a.real = real(from);
        reals = true;
        break;
      case 3:
        a.integer = integer(from);
        break;
      case 4:
        a.text = text_of(view(from));
        break;
      case 5:
        tensor = read_tensor(pbf_reader(view(from)));
        break;
      case 7:
        read_floats(from, a.reals);
        break;
      case 8:
        read_int64s(from, a.integers);
        break;
      case 20:
        a.kind = integer(from);
        break;
      default:
        from.skip();  // texts or a graph, which its kind tells
    }
  }
  if (tensor) {
    a.tensor = tensor->value;
    a.tensor_type = tensor->type;
  }
  fail_if(a.name.empty(), "an attribute has no name.");
  fail_if(a.kind == Attribute::kTensor && !tensor, "attribute \"{}\" has no tensor.", a.name);
  if (a.kind == Attribute::kNone && reals) a.kind = Attribute::kReal;
  fail_if(a.kind == Attribute::kNone, "attribute \"{}\" has no type.", a.name);
  return a;
}

// A few bytes make a large node; no op has so many.
constexpr size_t kMostInputs = 4096, kMostAttributes = 64;

Node read_node(pbf_reader from) {
  Node node;
  while (from.next()) {
    fail_if(node.inputs.size() > kMostInputs || node.outputs.size() > kMostInputs ||
                node.attributes.size() > kMostAttributes,
            "a node has more than {} inputs or outputs, or {} attributes.", kMostInputs,
            kMostAttributes);
    switch (from.tag()) {
      case 1:
        node.inputs.push_back(text_of(view(from)));
        break;
      case 2:
        node.outputs.push_back(text_of(view(from)));
        break;
      case 3:
        node.name = text_of(view(from));
        break;
      case 4:
        node.op = text_of(view(from));
        break;
      case 5:
        node.attributes.push_back(read_attribute(pbf_reader(view(from))));
        break;
      case 7:
        node.domain = text_of(view(from));
        break;
      default:
        from.skip();
    }
  }
  fail_if(node.op.empty(), "node \"{}\" has no op.", node.name);
  fail_if(node.outputs.empty(), "node \"{}\" ({}) has no outputs.", node.name, node.op);
  return node;
}

void read_dims(pbf_reader from, Value& value) {
  value.has_shape = true;
  while (from.next(1)) {
    fail_if(value.dims.size() == size_t{Shape::kMaxRank},
            "\"{}\" has more than {} dimensions, which ramp has not.", value.name, Shape::kMaxRank);
    pbf_reader dim(view(from));
    value.dims.push_back(-1);
    value.dim_names.emplace_back();
    while (dim.next()) {
      if (dim.tag() == 1) {
        value.dims.back() = integer(dim);
      } else if (dim.tag() == 2) {
        value.dim_names.back() = text_of(view(dim));
      } else {
        dim.skip();
      }
    }
  }
}

Value read_value(pbf_reader from) {
  Value value;
  while (from.next()) {
    if (from.tag() == 1) {
      value.name = text_of(view(from));
    } else if (from.tag() == 2) {
      for (pbf_reader type(view(from)); type.next();) {
        if (type.tag() != 1) {  // a sequence, a map: type stays 0
          type.skip();
          continue;
        }
        for (pbf_reader tensor(view(type)); tensor.next();) {
          if (tensor.tag() == 1) {
            value.type = integer(tensor);
          } else if (tensor.tag() == 2) {
            read_dims(pbf_reader(view(tensor)), value);
          } else {
            tensor.skip();
          }
        }
      }
    } else {
      from.skip();
    }
  }
  fail_if(value.name.empty(), "an input or result has no name.");
  return value;
}

// Each takes most of a kB, whatever it holds.
constexpr size_t kMostParts = 1'000'000;

void read_graph(pbf_reader from, File& file) {
  // So that no list is copied to grow.
  size_t count[13] = {};
  for (pbf_reader all = from; all.next(); all.skip())
    if (all.tag() < 13) ++count[all.tag()];
  fail_if(count[1] + count[5] + count[11] + count[12] > kMostParts,
          "it has {} nodes and {} tensors; ramp reads up to a million of both.", count[1],
          count[5]);
  file.nodes.reserve(count[1]);
  file.constants.reserve(count[5]);
  file.inputs.reserve(count[11]);
  file.outputs.reserve(count[12]);
  while (from.next()) {
    switch (from.tag()) {
      case 1:
        file.nodes.push_back(read_node(pbf_reader(view(from))));
        break;
      case 2:
        file.graph_name = text_of(view(from));
        break;
      case 5:
        file.constants.push_back(read_tensor(pbf_reader(view(from))));
        fail_if(file.constants.back().name.empty(), "a tensor has no name.");
        break;
      case 11:
        file.inputs.push_back(read_value(pbf_reader(view(from))));
        break;
      case 12:
        file.outputs.push_back(read_value(pbf_reader(view(from))));
        break;
      case 15:
        fail("it has sparse weights, which ramp does not read.");
      default:
        from.skip();
    }
  }
}

File read_model(std::string_view bytes) {
  File file;
  file.ir_version = file.opset = 0;
  int graphs = 0;
  pbf_reader model(bytes.data(), bytes.size());
  while (model.next()) {
    switch (model.tag()) {
      case 1:
        file.ir_version = integer(model);
        break;
      case 2:
        file.producer = text_of(view(model));
        break;
      case 3:
        file.version = text_of(view(model));
        break;
      case 7:
        read_graph(pbf_reader(view(model)), file);
        ++graphs;
        break;
      case 8: {
        std::string domain;
        int64_t version = 0;
        for (pbf_reader opset(view(model)); opset.next();) {
          if (opset.tag() == 1) {
            domain = text_of(view(opset));
          } else if (opset.tag() == 2) {
            version = integer(opset);
          } else {
            opset.skip();
          }
        }
        if (domain.empty() || domain == "ai.onnx") {
          file.opset = version;
        } else {
          file.other_opsets.emplace_back(domain, version);
        }
        break;
      }
      default:
        model.skip();
    }
  }
  fail_if(graphs != 1 || file.ir_version < 1, "it is not an ONNX model.");
  return file;
}

}  // namespace

File decode(std::string_view bytes, const std::string& name) {
  std::string what;
  try {
    return read_model(bytes);
  } catch (const protozero::exception& e) {
    what = fmt::format(
        "it is not an ONNX model, or it is damaged ({}). Hint: torch.onnx.export(net, x, path) in "
        "Python makes one.",
        e.what());
  } catch (const Error& e) {
    what = e.what();
  }
  fail("load_onnx: {}: {}", name, what);
}

#endif

}  // namespace ramp::onnx
