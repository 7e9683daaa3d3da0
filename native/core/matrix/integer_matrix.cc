#include "core/matrix/integer_matrix.h"

#include <algorithm>

#include "core/matrix/half.h"
#include "core/matrix/small_codes.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {

void IntegerMatrix::decode_rows(size_t first, size_t count, float* out, size_t stride) const {
  const size_t row_bytes = small_code_bytes(columns(), settings_.bits), groups = settings_.groups(columns());
  const float middle = settings_.symmetric ? static_cast<float>(1 << (settings_.bits - 1)) : 0.0f;
  const FloatKernels& kernels = float_kernels();
  for (size_t row = first; row < first + count; ++row, out += stride) {
    kernels.unpack_codes(stored_.codes.data() + row * row_bytes, columns(), settings_.bits, out);
    for (size_t group = 0; group < groups; ++group) {
      const size_t begin = group * settings_.group_size, end = std::min(columns(), begin + settings_.group_size);
      const float scale = half_to_float(stored_.scales[row * groups + group]);
      const float minimum = settings_.symmetric ? 0.0f : half_to_float(stored_.minimums[row * groups + group]);
      kernels.scale_codes(scale, middle, minimum, out + begin, end - begin);
    }
  }
}

}  // namespace pyramidion
