#include "cuda/layout.h"

#include <cstring>
#include <limits>
#include <string>

#include "core/error.h"

namespace pyramidion::cuda {
namespace {

uint64_t reciprocal(uint64_t n) { return std::numeric_limits<uint64_t>::max() / n; }

// A pointer that counts from the first byte of the block.
template <class T>
const T* place_in(const std::vector<uint64_t>& words) {
  return reinterpret_cast<const T*>(words.size() * sizeof(uint64_t));
}

template <class T>
const T* moved(const T* place, uint64_t base) {
  return reinterpret_cast<const T*>(reinterpret_cast<uint64_t>(place) + base);
}

// Values of 32 bits, two a word.
template <class T>
void append(std::vector<uint64_t>& words, const std::vector<T>& values) {
  static_assert(sizeof(T) == 4);
  const size_t first = words.size();
  words.resize(first + (values.size() + 1) / 2);
  std::memcpy(words.data() + first, values.data(), values.size() * sizeof(T));
}

}  // namespace

bool has_kernels(const PvqCode& code) {
  return code.lattice == Lattice::integer && (code.dimension == 8 || code.dimension == 16);
}

void check_kernels(const PvqCode& code) {
  if (has_kernels(code)) return;
  throw Error("UNSUPPORTED_FORMAT", "no CUDA kernel knows groups of " + std::to_string(code.dimension) +
                                        (code.lattice == Lattice::integer ? "" : " on the Barnes-Wall lattice"));
}

void check_kernels(const PvqLayout& layout) {
  for (const PvqCode& code : layout.codes) check_kernels(code);
}

DeviceTables device_tables(const PvqCode& code) {
  const PyramidCounts& counts = code.tables->counts;
  const int pulses = code.pulses;
  DeviceTables result;
  std::vector<uint64_t>& words = result.words;
  CodeTables& tables = result.tables;
  tables = {};
  tables.dimension = code.dimension;
  tables.pulses = pulses;
  tables.level_count = static_cast<int32_t>(code.levels.size());
  tables.bits = code.bits;
  tables.count = counts.count();
  tables.count_reciprocal = reciprocal(counts.count());
  tables.first_step = 1;
  while (tables.first_step * 2 <= pulses) tables.first_step *= 2;

  tables.levels = place_in<float>(words);
  append(words, code.levels);
  std::vector<uint32_t> reciprocals2;
  for (int k = 0; k <= pulses; ++k) reciprocals2.push_back(k == 0 ? 0xffffffffu : 0xffffffffu / (4 * k));
  tables.reciprocals2 = place_in<uint32_t>(words);
  append(words, reciprocals2);
  tables.reciprocals4 = place_in<uint64_t>(words);
  for (int k = 0; k <= pulses; ++k) words.push_back(reciprocal(counts.count(4, k)));
  tables.offsets8 = place_in<uint64_t>(words);
  for (int k = code.dimension == 8 ? pulses : 0; k <= pulses; ++k) {
    for (int j = 0; j <= k; ++j) words.push_back(counts.offset(8, k, j));
  }
  if (code.dimension == 16) {
    tables.offsets16 = place_in<uint64_t>(words);
    for (int j = 0; j <= pulses; ++j) words.push_back(counts.offset(16, pulses, j));
    tables.counts8 = place_in<uint64_t>(words);
    for (int k = 0; k <= pulses; ++k) words.push_back(counts.count(8, k));
    tables.reciprocals8 = place_in<uint64_t>(words);
    for (int k = 0; k <= pulses; ++k) words.push_back(reciprocal(counts.count(8, k)));
  }
  return result;
}

CodeTables tables_at(const CodeTables& tables, uint64_t base) {
  CodeTables result = tables;
  result.levels = moved(tables.levels, base);
  result.reciprocals2 = moved(tables.reciprocals2, base);
  result.reciprocals4 = moved(tables.reciprocals4, base);
  result.offsets8 = moved(tables.offsets8, base);
  if (tables.dimension == 16) {
    result.offsets16 = moved(tables.offsets16, base);
    result.counts8 = moved(tables.counts8, base);
    result.reciprocals8 = moved(tables.reciprocals8, base);
  }
  return result;
}

std::vector<uint32_t> row_quads(const PvqCode& code, const uint8_t* codes, size_t row_bytes, size_t rows,
                                ThreadPool& pool) {
  const size_t words = quad_words(code.groups, code.bits);
  std::vector<uint32_t> result((rows + 3) / 4 * words * 4, 0);
  pool.parallel_for(rows, kRewriteRows, [&](size_t begin, size_t end) {
    std::vector<uint32_t> stream(words);
    for (size_t row = begin; row < end; ++row) {
      std::memcpy(stream.data(), codes + row * row_bytes, code.bytes);
      uint32_t* quad = result.data() + row / 4 * words * 4 + row % 4;
      for (size_t word = 0; word < words; ++word) quad[word * 4] = stream[word];
    }
  });
  return result;
}

}  // namespace pyramidion::cuda
