// The forms that the codes of a segment may have in memory. All stand for the same weights and give the same products.
#pragma once

#include <string>

namespace pyramidion {

enum class MemoryLayout {
  // As stored, decoded inside the product.
  compact,
  // The same information in bit fields of their own, decoded without searches and divisions.
  split,
  // The pulses themselves.
  expanded,
};

const char* name_of(MemoryLayout layout);
// The layout of that name; null when there is none.
const MemoryLayout* find_memory_layout(const std::string& name);

}  // namespace pyramidion
