// Weights in a file: the safetensors format, which Python's package reads and writes too.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ramp/layers/module.h"

namespace ramp {

/// What a file says about itself: text by name.
using Metadata = std::map<std::string, std::string>;

/// The tensors of a file, in its header's order and by name: `file["0.weight"]`. It passes for a
/// list of named tensors: `model.load_state(file)`.
class TensorFile {
 public:
  /// `op` starts the errors: what has read it.
  TensorFile(std::string op, std::string path, Metadata metadata, std::vector<NamedTensor> tensors);

  const std::string& path() const { return path_; }
  const Metadata& metadata() const { return metadata_; }
  bool contains(std::string_view name) const { return index_.contains(std::string(name)); }
  /// Errors: no tensor of that name.
  const Tensor& operator[](std::string_view name) const;

  size_t size() const { return tensors_.size(); }
  auto begin() const { return tensors_.begin(); }
  auto end() const { return tensors_.end(); }
  operator const std::vector<NamedTensor>&() const { return tensors_; }  // NOLINT: implicit

 private:
  std::string op_, path_;
  Metadata metadata_;
  std::vector<NamedTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

/// Writes the tensors in this order; `format: ramp` in the metadata says how weights lie (features
/// last, dense weights [in, out]), unless the metadata has a format of its own. The file is whole
/// or not there: it is written under another name in the same folder, flushed to the disk, then
/// renamed over the old one, whose permissions it keeps. A symbolic link stays: its target is
/// written.
/// Errors: two tensors of one name; a name that is not UTF-8; a file that cannot be written (the
/// old one stays), or that is a device.
/// Source: https://github.com/huggingface/safetensors, "Format".
void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                      const Metadata& metadata = {});

/// The bytes of that file.
std::vector<uint8_t> encode_safetensors(const std::vector<NamedTensor>& tensors,
                                        const Metadata& metadata = {});

struct LoadOptions {
  bool any_format = false;  // takes the tensors as they lie, whatever the metadata's format says
  /// Reads the tensors for which it is true, and no byte of the others; null: all.
  /// `{.only = [](const std::string& name) { return name.starts_with("encoder."); }}`
  std::function<bool(const std::string& name)> only = nullptr;
};

/// Reads all tensors. Those of a model in several files, "model-00001-of-00003.safetensors", by its
/// index: load_safetensors("model.safetensors.index.json"). F32, F64 and I64 as they are; F16 and
/// BF16 as f32; BOOL and integers of up to 32 bits as i64. What is asked for is read straight into
/// the tensors' memory: one tensor of 10 GB costs its own bytes. (Mapped, 1 GB takes the same time
/// and twice the memory at its peak, and ends the program if someone cuts the file meanwhile.)
/// Errors: no such file; a length, offset or shape that does not fit the file (checked before
/// memory is taken), gaps, overlaps, bytes left over, two entries of one name; another dtype, or
/// more than 8 dimensions, in a tensor that is asked for; a header that is not JSON of the format,
/// or is longer than 100 MB; metadata that say another format than ramp's, as PyTorch's `pt`, whose
/// weights are transposed (load_pytorch() reads those); an index that names files elsewhere, or
/// tensors that are not there.
TensorFile load_safetensors(const std::string& path, const LoadOptions& options = {});
/// The same from memory; `name` is for the errors.
TensorFile decode_safetensors(std::span<const uint8_t> bytes, const LoadOptions& options = {},
                              const std::string& name = "the bytes");

/// What a file says of a tensor, any that the format has.
struct TensorInfo {
  std::string name, dtype;  // "F8_E4M3"
  std::vector<int64_t> shape;
  uint64_t bytes = 0;
};
struct TensorFileInfo {
  Metadata metadata;
  std::vector<TensorInfo> tensors;  // in the header's order
};
/// Reads the header alone.
/// Errors: those of load_safetensors, but for dtypes, dimensions and the metadata's format.
TensorFileInfo inspect_safetensors(const std::string& path);

/// A model's state by name. load_model returns what `.strict = false` left, as load_tensors does.
/// Errors of load_model: those of load_safetensors and of load_tensors; a file whose metadata have
/// no format, as Python's have not: square weights of PyTorch would be taken for ramp's. The model
/// is then as it was.
void save_model(const std::string& path, ModuleBase& model);
std::vector<std::string> load_model(const std::string& path, ModuleBase& model,
                                    LoadStateOptions options = {});

}  // namespace ramp
