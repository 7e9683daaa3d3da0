// Working memory for kernels: uninitialised and 64-byte aligned; none of size 0.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace pyramidion {

template <class T>
class AlignedBuffer {
 public:
  explicit AlignedBuffer(size_t count)
      : values_(count == 0 ? nullptr : static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{64}))) {}

  T* data() { return values_.get(); }
  const T* data() const { return values_.get(); }
  T& operator[](size_t index) { return values_.get()[index]; }
  const T& operator[](size_t index) const { return values_.get()[index]; }

 private:
  struct Free {
    void operator()(T* values) const { ::operator delete (values, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> values_;
};

}  // namespace pyramidion
