// An ONNX file as plain structs, and its bytes: the protocol buffers of onnx.proto, IR version 9.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ramp/core/tensor.h"

namespace ramp::onnx {

/// TensorProto.DataType, those that ramp reads.
enum ElementType : int64_t {
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kBool = 9,
  kHalf = 10,
  kDouble = 11,
  kUint32 = 12,
  kBfloat16 = 16
};
/// "float", "int64", "uint8", "type 23": as the file says.
std::string type_name(int64_t element_type);
constexpr int64_t type_of(DType t) { return t == f32 ? kFloat : t == f64 ? kDouble : kInt64; }

/// A constant. The values of a type that ramp has not are an i64's or f32's; `type` is the file's.
struct Constant {
  std::string name;
  Tensor value;
  int64_t type = kFloat;
};

struct Attribute {
  enum Kind : int64_t {
    kNone = 0,
    kReal = 1,
    kInt = 2,
    kText = 3,
    kTensor = 4,
    kReals = 6,
    kInts = 7
  };
  std::string name;
  int64_t kind = kNone;
  float real = 0;
  int64_t integer = 0;
  std::string text;
  Tensor tensor;
  int64_t tensor_type = 0;
  std::vector<float> reals;
  std::vector<int64_t> integers;

  Attribute() = default;
  Attribute(std::string n, int64_t i) : name(std::move(n)), kind(kInt), integer(i) {}
  Attribute(std::string n, int i) : Attribute(std::move(n), int64_t{i}) {}
  Attribute(std::string n, double x)
      : name(std::move(n)), kind(kReal), real(static_cast<float>(x)) {}
  Attribute(std::string n, const char* s) : name(std::move(n)), kind(kText), text(s) {}
  Attribute(std::string n, std::vector<int64_t> i)
      : name(std::move(n)), kind(kInts), integers(std::move(i)) {}
};

struct Node {
  std::string name, op, domain;
  std::vector<std::string> inputs, outputs;  // "": left out
  std::vector<Attribute> attributes;
};

/// An input or output of the graph. A dimension below 0 is open; it may have a name ("n").
struct Value {
  std::string name;
  int64_t type = 0;
  bool has_shape = false;
  std::vector<int64_t> dims;
  std::vector<std::string> dim_names;
};

struct File {
  int64_t ir_version = 9, opset = 20;
  std::string producer, version, graph_name;
  std::vector<std::pair<std::string, int64_t>> other_opsets;
  std::vector<Node> nodes;
  std::vector<Constant> constants;
  std::vector<Value> inputs, outputs;
};

/// Errors: more than 2 GB, which protocol buffers do not hold; ramp was built without protozero.
std::string encode(const File& file);
/// `name` is for messages. Errors: bytes that are no such file, whatever they are; lengths that do
/// not fit; data in other files; a tensor of another type than those above.
File decode(std::string_view bytes, const std::string& name);

}  // namespace ramp::onnx
