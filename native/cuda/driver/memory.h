// Memory of a device, and page-locked memory of the host that the device copies from and to while the processor works.
#pragma once

#include <cstddef>
#include <utility>

#include "cuda/driver/context.h"

namespace pyramidion::cuda {

// Bytes on the device, freed with the object. Needs no current context.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // Throws OUT_OF_MEMORY, saying what was asked for and what is free, or DEVICE_ERROR.
  DeviceBuffer(const Context& context, size_t bytes);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    swap(other);
    return *this;
  }

  // 0 for no bytes.
  CUdeviceptr address() const { return address_; }
  // As kernels take it.
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(address_);
  }
  size_t bytes() const { return bytes_; }

 private:
  void swap(DeviceBuffer& other) noexcept {
    std::swap(context_, other.context_);
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
  }

  const Context* context_ = nullptr;
  CUdeviceptr address_ = 0;
  size_t bytes_ = 0;
};

// Page-locked bytes of the host, freed with the object. Needs no current context.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  // Throws OUT_OF_MEMORY or DEVICE_ERROR.
  PinnedBuffer(const Context& context, size_t bytes);
  ~PinnedBuffer();
  PinnedBuffer(PinnedBuffer&& other) noexcept { swap(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    swap(other);
    return *this;
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }

 private:
  void swap(PinnedBuffer& other) noexcept {
    std::swap(context_, other.context_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  const Context* context_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace pyramidion::cuda
