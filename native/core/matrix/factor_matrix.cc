#include "core/matrix/factor_matrix.h"

#include "cpu/floats/kernels.h"

namespace pyramidion {

void FactorMatrix::decode_rows(size_t first, size_t count, float* out, size_t stride) const {
  for (size_t row = first; row < first + count; ++row, out += stride) {
    float_kernels().decode_int8(values_.data() + row * columns(), scales_.data() + row * blocks(columns()), columns(),
                                out);
  }
}

}  // namespace pyramidion
