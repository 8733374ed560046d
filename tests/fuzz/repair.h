// Checksums and lengths put right in bytes that were changed: else no changed file would come
// further than to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

/// What the reader of this fuzzer needs; the fuzzers that need nothing do not have it.
void repair(std::vector<uint8_t>& bytes);

/// What can be unpacked of a file of gzip, packed again.
void repair_gzip(std::vector<uint8_t>& bytes);
/// The entries of a zip archive, wherever they begin, with a directory that fits them.
void repair_zip(std::vector<uint8_t>& bytes);
/// A PNG's chunks, and its pixels.
void repair_png(std::vector<uint8_t>& bytes);
/// The length of a safetensors file's header, and that of the data.
void repair_safetensors(std::vector<uint8_t>& bytes);
