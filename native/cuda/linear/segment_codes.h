// The codes of one segment of a layer on the device, in the form that is multiplied there (docs/gpu.md, "How weights
// lie on the device"), and the launches that read them.
#pragma once

#include <string>
#include <vector>

#include "core/parallel/thread_pool.h"
#include "core/pvq/pvq_code.h"
#include "cuda/driver/memory.h"
#include "cuda/driver/stream.h"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// How rotate_inputs leaves the inputs of a product.
enum class InputFormat { f32, f16, i8, i8_f16 };
size_t bytes_of(InputFormat format);
// What it adds to the names of kernels.
std::string suffix(InputFormat format);

// Tokens that one launch of a product with few tokens takes.
constexpr size_t kGemvTokens = 8;

// Throws UNSUPPORTED_FORMAT for codes that no kernel knows in any form.
void check_multiplied(const PvqCode& code);

class SegmentCodes {
 public:
  struct Wish {
    // Inputs are rounded to int8.
    bool int8;
    // Expanded where that is faster; otherwise only what no kernel decodes.
    bool expanded;
  };

  // Rewrites the codes, on the pool's threads, uploads and waits for it. codes: the segment's bytes of the first row,
  // valid ones, each row row_bytes after the one before, pvq_read_ahead bytes readable behind the last. code:
  // check_multiplied(). The context must be current, here and below.
  SegmentCodes(const Context& context, Stream& stream, const PvqCode& code, const uint8_t* codes, size_t row_bytes,
               size_t rows, const uint16_t* row_scale, Wish wish, ThreadPool& pool);

  size_t columns() const { return columns_; }
  size_t bytes() const;
  bool expanded() const { return expanded_.pulses != nullptr; }
  // Whether a product with few tokens does not decode stored codes.
  bool fast() const { return expanded() || pairs_.words != nullptr; }

  // y for up to kGemvTokens tokens of f32 or i8 inputs.
  void multiply(Stream& stream, const GemvOutputs& outputs, InputFormat format) const;
  // Rows first .. first + count - 1, first a multiple of four, as halves a stride apart, for half_gemm.
  void make_halves(Stream& stream, size_t first, size_t count, size_t stride, void* out) const;

 private:
  template <class T>
  const T* upload(Stream& stream, const T* data, size_t count);
  void expand(Stream& stream, const PvqCode& code, const uint8_t* codes, size_t row_bytes, size_t rows,
              ThreadPool& pool);
  void store(Stream& stream, const PvqCode& code, const uint8_t* codes, size_t row_bytes, size_t rows,
             ThreadPool& pool);

  const Context& context_;
  uint32_t columns_;
  std::vector<DeviceBuffer> memory_;
  // Stored codes, as row quads; codes is null where they are expanded.
  SegmentWeights weights_{};
  // Beside them, of int8 products whose code has them: words is null otherwise.
  PairCodes pairs_{};
  // pulses is null where they are stored.
  ExpandedCodes expanded_{};
  size_t gains_of_chunk_ = 0;
};

}  // namespace pyramidion::cuda
