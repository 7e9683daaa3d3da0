#include "core/pvq/memory_layout.h"

namespace pyramidion {
namespace {

constexpr MemoryLayout kLayouts[] = {MemoryLayout::compact, MemoryLayout::split, MemoryLayout::expanded};

}  // namespace

const char* name_of(MemoryLayout layout) {
  switch (layout) {
    case MemoryLayout::split:
      return "split";
    case MemoryLayout::expanded:
      return "expanded";
    default:
      return "compact";
  }
}

const MemoryLayout* find_memory_layout(const std::string& name) {
  for (const MemoryLayout& layout : kLayouts) {
    if (name == name_of(layout)) return &layout;
  }
  return nullptr;
}

}  // namespace pyramidion
