// "Device" memory of the emulation: exactly as large as what it holds, so that AddressSanitizer sees the first byte
// beyond.
#pragma once

#include <cstdlib>
#include <cstring>
#include <vector>

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : size_(values.size()), data_(allocate(values.size())) {
    if (size_ > 0) std::memcpy(data_, values.data(), size_ * sizeof(T));
  }
  // Filled with bytes of 0xff, NaN as floats.
  explicit DeviceArray(size_t size) : size_(size), data_(allocate(size)) { std::memset(data_, 0xff, size * sizeof(T)); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { std::free(data_); }

  T* data() { return data_; }
  std::vector<T> values() const { return std::vector<T>(data_, data_ + size_); }

 private:
  static T* allocate(size_t size) {
    void* block = nullptr;
    if (posix_memalign(&block, 256, size * sizeof(T)) != 0) std::abort();
    return static_cast<T*>(block);
  }

  size_t size_;
  T* data_;
};
