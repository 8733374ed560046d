// Weights in a file: the safetensors format, which Python's package reads and writes too.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ramp/layers/module.h"

namespace ramp {

/// What a file says about itself: text by name.
using Metadata = std::map<std::string, std::string>;

/// Writes the tensors in this order. The file is whole or not there: it is written under another
/// name in the same folder, flushed to the disk, then renamed over the old one.
/// Errors: two tensors of one name; a name that is not UTF-8; a file that cannot be written (the
/// old one stays).
/// Source: https://github.com/huggingface/safetensors, "Format".
void save_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                      const Metadata& metadata = {});

/// Reads all tensors, in the header's order. F32, F64 and I64 as they are; F16 and BF16 as f32;
/// BOOL and integers of up to 32 bits as i64.
/// Errors: no such file; a length, offset or shape that does not fit the file (checked before
/// memory is taken); another dtype; a header that is not JSON of the format.
std::vector<NamedTensor> load_safetensors(const std::string& path, Metadata* metadata = nullptr);

/// A model's parameters and buffers by name.
/// Errors of load_model: those above, and a missing, extra or misshapen tensor, each named; the
/// model is then as it was.
void save_model(const std::string& path, Module& model);
void load_model(const std::string& path, Module& model);

}  // namespace ramp
