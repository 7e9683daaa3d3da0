#include "addon/arguments.h"

#include <cmath>
#include <sstream>

namespace pyramidion {
namespace {

template <class T>
struct Element;
#define PYRAMIDION_ELEMENT(type, kind, text)                 \
  template <>                                                \
  struct Element<type> {                                     \
    static constexpr napi_typedarray_type tag = napi_##kind; \
    static constexpr const char* name = text;                \
  }
PYRAMIDION_ELEMENT(float, float32_array, "a Float32Array");
PYRAMIDION_ELEMENT(double, float64_array, "a Float64Array");
PYRAMIDION_ELEMENT(int8_t, int8_array, "an Int8Array");
PYRAMIDION_ELEMENT(uint8_t, uint8_array, "a Uint8Array");
PYRAMIDION_ELEMENT(int16_t, int16_array, "an Int16Array");
PYRAMIDION_ELEMENT(uint16_t, uint16_array, "a Uint16Array");
PYRAMIDION_ELEMENT(int32_t, int32_array, "an Int32Array");
PYRAMIDION_ELEMENT(uint64_t, biguint64_array, "a BigUint64Array");
#undef PYRAMIDION_ELEMENT

std::string text_of(double number) {
  std::ostringstream text;
  text.precision(12);
  text << number;
  return text.str();
}

std::string describe(Napi::Value value) {
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsNumber()) return text_of(value.As<Napi::Number>().DoubleValue());
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value() ? "true" : "false";
  if (value.IsString()) return "\"" + value.As<Napi::String>().Utf8Value().substr(0, 40) + "\"";
  if (value.IsFunction()) return "a function";
  if (value.IsArray()) return "an array";
  if (!value.IsObject()) return "a bigint or symbol";
  const Napi::Value constructor = value.As<Napi::Object>().Get("constructor");
  if (!constructor.IsFunction()) return "an object";
  const Napi::Value name = constructor.As<Napi::Object>().Get("name");
  return name.IsString() ? "an instance of " + name.As<Napi::String>().Utf8Value() : "an object";
}

std::string range(const std::string& kind, double minimum, double maximum) {
  return kind + " between " + text_of(minimum) + " and " + text_of(maximum);
}

}  // namespace

void Argument::reject(const std::string& expected) const {
  throw Error("INVALID_ARGUMENT", name_ + " must be " + expected + ", got " + describe(value_));
}

void Argument::reject_length(size_t length, const std::string& expected) const {
  throw Error("INVALID_SHAPE", name_ + " must have " + expected + ", got " + std::to_string(length));
}

template <class T>
Span<T> Argument::array() const {
  if (!value_.IsTypedArray()) reject(Element<T>::name);
  napi_typedarray_type tag;
  size_t length = 0;
  void* data = nullptr;
  // The address includes the view's byte offset, and shared buffers are allowed.
  if (napi_get_typedarray_info(call_->env(), value_, &tag, &length, &data, nullptr, nullptr) != napi_ok ||
      tag != Element<T>::tag) {
    reject(Element<T>::name);
  }
  call_->retain(value_.As<Napi::Object>());
  return {static_cast<T*>(data), length};
}

template <class T>
Span<T> Argument::array(size_t length) const {
  const Span<T> span = array<T>();
  if (span.size != length) reject_length(span.size, std::to_string(length) + " values");
  return span;
}

#define PYRAMIDION_INSTANTIATE(type)                 \
  template Span<type> Argument::array<type>() const; \
  template Span<type> Argument::array<type>(size_t) const
PYRAMIDION_INSTANTIATE(float);
PYRAMIDION_INSTANTIATE(double);
PYRAMIDION_INSTANTIATE(int8_t);
PYRAMIDION_INSTANTIATE(uint8_t);
PYRAMIDION_INSTANTIATE(int16_t);
PYRAMIDION_INSTANTIATE(uint16_t);
PYRAMIDION_INSTANTIATE(int32_t);
PYRAMIDION_INSTANTIATE(uint64_t);
#undef PYRAMIDION_INSTANTIATE

size_t Argument::integer(size_t minimum, size_t maximum) const {
  const auto low = static_cast<double>(minimum), high = static_cast<double>(maximum);
  const double number = value_.IsNumber() ? value_.As<Napi::Number>().DoubleValue() : -1;
  // The text of an error is made where there is one: it takes longer than most calls of a decoding step.
  if (!value_.IsNumber() || !(number >= low && number <= high) || number != std::floor(number)) {
    reject(range("an integer", low, high));
  }
  return static_cast<size_t>(number);
}

double Argument::number(double minimum, double maximum) const {
  if (!value_.IsNumber()) reject(range("a number", minimum, maximum));
  const double number = value_.As<Napi::Number>().DoubleValue();
  if (!(number >= minimum && number <= maximum)) reject(range("a number", minimum, maximum));
  return number;
}

bool Argument::boolean() const {
  if (!value_.IsBoolean()) reject("true or false");
  return value_.As<Napi::Boolean>().Value();
}

std::string Argument::string() const {
  if (!value_.IsString()) reject("a string");
  return value_.As<Napi::String>().Utf8Value();
}

Argument Argument::operator[](const char* property) const {
  if (!value_.IsObject()) reject("an object");
  return Argument(*call_, value_.As<Napi::Object>().Get(property), name_ + "." + property);
}

size_t Argument::length() const {
  if (!value_.IsArray()) reject("an array");
  return value_.As<Napi::Array>().Length();
}

Argument Argument::element(size_t index) const {
  return Argument(*call_, value_.As<Napi::Array>().Get(static_cast<uint32_t>(index)),
                  name_ + "[" + std::to_string(index) + "]");
}

JobControl Call::job_control(size_t index) {
  const Argument control = argument(index, "control");
  if (!control.present()) return JobControl();
  const Span<int32_t> words = control.array<int32_t>();
  if (words.size < 2) control.reject_length(words.size, "2 values or more");
  return JobControl(words.data);
}

size_t checked_product(size_t a, size_t b, const char* what) {
  size_t product = 0;
  if (__builtin_mul_overflow(a, b, &product) || product > size_t{1} << 53) {
    throw Error("INVALID_SHAPE", std::string(what) + " is too large: " + std::to_string(a) + " x " + std::to_string(b));
  }
  return product;
}

}  // namespace pyramidion
