// How a PVQ matrix lies on the device (launch.h), made from its stored form: host code without CUDA.
#pragma once

#include <cstdint>
#include <vector>

#include "core/parallel/thread_pool.h"
#include "core/pvq/pvq_code.h"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// Whether the kernels know a code: integer lattice, D = 8 or 16.
bool has_kernels(const PvqCode& code);
// Throws UNSUPPORTED_FORMAT unless they know it, or all codes of the layout.
void check_kernels(const PvqCode& code);
void check_kernels(const PvqLayout& layout);

// The tables of a code as one block of words, and a CodeTables whose pointers count from the block's first byte.
struct DeviceTables {
  std::vector<uint64_t> words;
  CodeTables tables;
};

// code: has_kernels().
DeviceTables device_tables(const PvqCode& code);
// The same tables for a block at `base`, an address on the device.
CodeTables tables_at(const CodeTables& tables, uint64_t base);

// Rows [first_row, first_row + rows) of a segment as row quads: quads(rows) x quad_words x 4 words; rows beyond the
// last are zeros. codes: the segment's bytes of row first_row, each row row_bytes after the one before.
std::vector<uint32_t> row_quads(const PvqCode& code, const uint8_t* codes, size_t row_bytes, size_t rows,
                                ThreadPool& pool);

// Rows that a thread rewrites for the device at a time.
constexpr size_t kRewriteRows = 64;

}  // namespace pyramidion::cuda
