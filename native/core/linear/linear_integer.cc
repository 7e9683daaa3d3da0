// Layers whose inputs are rounded to int8: products in integers, in whatever layout the weights have
// (core/pvq/integer_tokens.h).
#include <algorithm>

#include "core/aligned_buffer.h"
#include "core/linear/linear.h"
#include "cpu/floats/kernels.h"

namespace pyramidion {
namespace {

// Tokens multiplied together, whose inputs stay in a core's second-level cache while a thread's rows pass by, and rows
// at a time, whose lanes do so too.
constexpr size_t kTokens = 128, kProducts = 2048;
size_t rows_at_once(size_t tokens) { return std::clamp<size_t>(kProducts / tokens, 16, 32); }

// Rows a thread takes at a time, a few turns each.
size_t row_grain(size_t rows, size_t threads) { return std::max<size_t>(32, (rows / (threads * 4) + 31) / 32 * 32); }

}  // namespace

void Linear::forward_integer(const float* x, size_t tokens, float* y, ThreadPool& pool) const {
  const size_t in = in_features(), out = out_features(), rank = parts_.a ? parts_.a->rows() : 0;
  const IntegerTokens inputs(integer_->layout(), x, tokens, pool);
  AlignedBuffer<float> projected(tokens * rank);
  pool.parallel_for(rank, std::max<size_t>(8, 65536 / in), [&](size_t first, size_t last) {
    AlignedBuffer<float> row(in);
    for (size_t k = first; k < last; ++k) {
      parts_.a->decode_rows(k, 1, row.data(), in);
      for (size_t token = 0; token < tokens; ++token) {
        projected[token * rank + k] = float_kernels().f32.dot(row.data(), x + token * in, in);
      }
    }
  });
  const size_t height = rows_at_once(tokens);
  pool.parallel_for(out, row_grain(out, pool.size()), [&](size_t begin, size_t end) {
    for (size_t token = 0; token < tokens; token += kTokens) {
      const size_t slice = std::min(kTokens, tokens - token);
      for (size_t first = begin; first < end; first += height) {
        integer_->integer_products(first, std::min(height, end - first), inputs, token, slice, y + token * out + first,
                                   out);
      }
    }
    AlignedBuffer<float> factor(rank);
    for (size_t row = begin; row < end && rank > 0; ++row) {
      parts_.b->decode_rows(row, 1, factor.data(), rank);
      for (size_t token = 0; token < tokens; ++token) {
        y[token * out + row] += float_kernels().f32.dot(factor.data(), projected.data() + token * rank, rank);
      }
    }
    for (size_t token = 0; token < tokens && !parts_.bias.empty(); ++token) {
      for (size_t row = begin; row < end; ++row) y[token * out + row] += parts_.bias[row];
    }
  });
}

}  // namespace pyramidion
