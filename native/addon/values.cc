// Bindings of operations on plain arrays of floats.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "core/matrix/half.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// The first position from `begin` on, `end` for none.
size_t first_non_finite(const float* values, size_t begin, size_t end) {
  // Without a branch for each value; nearly always there is none to be found.
  constexpr size_t run = 256;
  for (size_t first = begin; first < end; first += run) {
    const size_t last = std::min(end, first + run);
    uint32_t broken = 0;
    for (size_t i = first; i < last; ++i) {
      broken |= (bits_of_float(values[i]) & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
    }
    for (size_t i = first; i < last && broken != 0; ++i) {
      if (!std::isfinite(values[i])) return i;
    }
  }
  return end;
}

Napi::Value bind_first_non_finite(Call& call) {
  const Span<float> values = call.argument(0, "values").array<float>();
  std::atomic<size_t> position{values.size};
  shared_pool().parallel_for(values.size, 1 << 17, [&](size_t begin, size_t end) {
    const size_t found = first_non_finite(values.data, begin, end);
    size_t least = position.load();
    while (found < std::min(end, least) && !position.compare_exchange_weak(least, found)) {
    }
  });
  return Napi::Number::New(call.env(), position < values.size ? static_cast<double>(position) : -1.0);
}

// The first position of the largest value, NaN never being larger.
Napi::Value largest(Call& call) {
  const Argument argument = call.argument(0, "values");
  const Span<float> values = argument.array<float>();
  if (values.size == 0) argument.reject_length(0, "1 value or more");
  const float most = float_kernels().maximum(values.data, values.size);
  const float* position = std::find(values.data, values.data + values.size, most);
  return Napi::Number::New(call.env(), static_cast<double>((position - values.data) % values.size));
}

Napi::Value to_half(Call& call) {
  const Span<float> values = call.argument(0, "values").array<float>();
  auto halves = Napi::Uint16Array::New(call.env(), values.size);
  uint16_t* out = halves.Data();
  for (size_t i = 0; i < values.size; ++i) out[i] = float_to_half(values.data[i]);
  return halves;
}

Napi::Value from_half(Call& call) {
  const Span<uint16_t> halves = call.argument(0, "halves").array<uint16_t>();
  auto values = Napi::Float32Array::New(call.env(), halves.size);
  float* out = values.Data();
  for (size_t i = 0; i < halves.size; ++i) out[i] = half_to_float(halves.data[i]);
  return values;
}

}  // namespace

void register_values(Napi::Object exports) {
  export_function(exports, "firstNonFinite", bind_first_non_finite);
  export_function(exports, "largest", largest);
  export_function(exports, "toHalf", to_half);
  export_function(exports, "fromHalf", from_half);
}

}  // namespace pyramidion
