// Typed, checked access to the arguments of a call. Whatever does not fit raises a pyramidion::Error that names the
// argument (or its property: "weights.codes"), what it was and what it may be.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/parallel/job_control.h"

namespace pyramidion {

// A typed array's elements, where JavaScript keeps them.
template <class T>
struct Span {
  T* data = nullptr;
  size_t size = 0;
};

class Call;

// One argument, or a property or element of one.
class Argument {
 public:
  Argument(Call& call, Napi::Value value, std::string name) : call_(&call), value_(value), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  Napi::Value value() const { return value_; }
  // Neither undefined nor null.
  bool present() const { return !value_.IsUndefined() && !value_.IsNull(); }

  // A typed array of exactly this element type; byte offsets of views are honoured. T is one of float, double, int8_t,
  // uint8_t, int16_t, uint16_t, int32_t, uint64_t. The array is kept alive until the call's work is done.
  template <class T>
  Span<T> array() const;
  // The same, of exactly `length` elements; INVALID_SHAPE otherwise.
  template <class T>
  Span<T> array(size_t length) const;

  size_t integer(size_t minimum, size_t maximum) const;
  // A finite number.
  double number(double minimum, double maximum) const;
  bool boolean() const;
  // A boolean that may be left out, for false.
  bool flag() const { return present() && boolean(); }
  std::string string() const;

  Argument operator[](const char* property) const;
  // For a JavaScript array: its length and elements.
  size_t length() const;
  Argument element(size_t index) const;

  // INVALID_ARGUMENT: "<name> must be <expected>, got <what it is>".
  [[noreturn]] void reject(const std::string& expected) const;
  // INVALID_SHAPE, in the same words.
  [[noreturn]] void reject_length(size_t length, const std::string& expected) const;

 private:
  Call* call_;
  Napi::Value value_;
  std::string name_;
};

// A call from JavaScript, and the objects its work depends on.
class Call {
 public:
  explicit Call(const Napi::CallbackInfo& info) : info_(info) {}

  Napi::Env env() const { return info_.Env(); }
  Napi::Value receiver() const { return info_.This(); }
  Argument argument(size_t index, const char* name) { return Argument(*this, info_[index], name); }

  // The optional JobControl argument: an Int32Array of two words or more.
  JobControl job_control(size_t index);

  // Keeps an object alive until the work is done.
  void retain(Napi::Object object) { retained_.push_back(object); }
  const std::vector<Napi::Object>& retained() const { return retained_; }

 private:
  const Napi::CallbackInfo& info_;
  std::vector<Napi::Object> retained_;
};

// a * b, or INVALID_SHAPE naming `what` when the product does not fit.
size_t checked_product(size_t a, size_t b, const char* what);

// A new typed array with a copy of the values.
template <class T>
Napi::TypedArrayOf<T> to_typed_array(Napi::Env env, const std::vector<T>& values) {
  auto array = Napi::TypedArrayOf<T>::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

}  // namespace pyramidion
