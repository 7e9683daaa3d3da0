#include "fatbin.h"

#include <cstdint>
#include <cstring>

namespace ptxsim {
namespace {

constexpr uint32_t kFatbinMagic = 0xBA55ED50;
// Of an entry: PTX; machine code is 2.
constexpr uint16_t kPtx = 1;

template <class T>
T read(const unsigned char* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

}  // namespace

// A fatbin is a header (its own size at byte 6, that of the entries at byte 8) and entries: kind at byte 0, size of the
// entry's header at byte 4, of its data at byte 8.
std::string ptx_of(const void* image) {
  const auto* bytes = static_cast<const unsigned char*>(image);
  if (read<uint32_t>(bytes) != kFatbinMagic) return static_cast<const char*>(image);
  const unsigned char* entry = bytes + read<uint16_t>(bytes + 6);
  const unsigned char* end = entry + read<uint64_t>(bytes + 8);
  while (entry < end) {
    const auto header = read<uint32_t>(entry + 4);
    const auto size = read<uint64_t>(entry + 8);
    if (read<uint16_t>(entry) == kPtx) {
      const std::string text(reinterpret_cast<const char*>(entry + header), size);
      // Compressed text does not hold the word.
      if (text.find(".version") != std::string::npos) return text.c_str();
    }
    entry += header + size;
  }
  return "";
}

}  // namespace ptxsim
