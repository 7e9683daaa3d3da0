// The forms that the codes of a segment may have in memory. All stand for the same weights and give the same products.
#pragma once

#include <string>

namespace pyramidion {

enum class MemoryLayout {
  // As stored, decoded inside the product.
  compact,
  // What `compact` is for products with int8: residue rows with the signs of what is not zero (residue_rows.h) where that
  // takes a tenth of a bit a weight more at most, else as stored.
  compact_integers,
  // Patched rows (patched_rows.h), residue rows with all signs, or those with the signs of what is not zero: the first
  // of these that the code has and that takes 0.47 bits more at most; else as stored.
  split,
  // The pulses themselves.
  expanded,
};

const char* name_of(MemoryLayout layout);
// The layout of that name; null when there is none.
const MemoryLayout* find_memory_layout(const std::string& name);

}  // namespace pyramidion
