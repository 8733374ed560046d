// NumPy's files: one array (.npy), arrays by name in a zip archive (.npz).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ramp/io/safetensors.h"

namespace ramp {

/// The array of a .npy file: np.save(path, x). f4 and f8 as they are, f2 as f32; bool, i1 .. i8 and
/// u1 .. u4 as i64. Any byte order, C and Fortran order, format versions 1 to 3.
/// Errors: no such file; another dtype (by its name; objects are Python's own); more than 8
/// dimensions; a header that is none, or a length that is not the file's, before memory is taken.
/// Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
Tensor load_npy(const std::string& path);
/// The same from memory; `name` is for the errors.
Tensor decode_npy(std::span<const uint8_t> bytes, const std::string& name = "the array");

/// np.load(path) gives the same array: '<f4', '<f8' or '<i8', C order, version 1. The file is whole
/// or not there (see NewFile).
void save_npy(const std::string& path, const Tensor& x);
std::vector<uint8_t> encode_npy(const Tensor& x);

/// The arrays of np.savez or np.savez_compressed, by name and in the archive's order:
/// `load_npz("data.npz")["x"]`.
/// Errors: those of load_npy; a damaged archive (each array's CRC is checked), entries that overlap
/// or are said to be larger than they can be, an entry that is no array, or encrypted.
/// Source: PKWARE, "APPNOTE.TXT" 6.3.
TensorFile load_npz(const std::string& path);
TensorFile decode_npz(std::span<const uint8_t> bytes, const std::string& name = "the archive");

struct SaveNpzOptions {
  bool compress = false;  // deflate, as np.savez_compressed
};
/// np.load(path)[name] gives each tensor.
/// Errors: two of one name; a name that is empty or too long; arrays of 4 GB or more, or 65535 of
/// them (what zip holds without extensions; safetensors has no such limit); a file that cannot be
/// written.
void save_npz(const std::string& path, const std::vector<NamedTensor>& tensors,
              const SaveNpzOptions& options = {});

}  // namespace ramp
