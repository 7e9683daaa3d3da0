// A matrix kept as PVQ rows (docs/architecture.md) and decoded only where it is used.
#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix/encoded_matrix.h"
#include "core/pvq/pvq_code.h"
#include "core/pvq/segment_rows.h"

namespace pyramidion {

class PvqMatrix : public EncodedMatrix {
 public:
  // codes: rows x layout.row_bytes; row_scale: f16, one a row; both are copied. Throws INVALID_ARGUMENT when a code is
  // not below L N(D,K), a padding bit is set or a scale is not finite. set: for tests; the best available otherwise.
  // pool: of the threads that bring the codes into the memory layout; null: the caller alone does.
  PvqMatrix(size_t rows, PvqLayout layout, const uint8_t* codes, const uint16_t* row_scale,
            InstructionSet set = instruction_set(), MemoryLayout memory_layout = MemoryLayout::compact,
            ThreadPool* pool = nullptr);

  // What the first segment is kept in: the layout asked for, or compact where its code does not have that.
  MemoryLayout memory_layout() const { return segments_.front()->memory_layout(); }
  const PvqLayout& layout() const { return layout_; }

  size_t bytes() const override;
  void decode_rows(size_t first, size_t count, float* out, size_t stride) const override;
  size_t prepared_size() const override;
  void prepare_vector(const float* x, float* prepared) const override;
  void row_dots(size_t first, size_t count, const float* prepared, float* y) const override;

  // y[t * stride + i] = <row first + i, token t> for i < count and the tokens [first_token, first_token + token_count),
  // in integers (integer_tokens.h). tokens were made for layout(), in the order that token_order() gives for some
  // number.
  void integer_products(size_t first, size_t count, const IntegerTokens& tokens, size_t first_token, size_t token_count,
                        float* y, size_t stride) const;

  // What is best for so many tokens: with many, panels of rows are worth being filled, where the rows have them.
  TokenOrder token_order(size_t tokens) const {
    return panels_ != nullptr && tokens >= least_panel_tokens ? TokenOrder::panels : TokenOrder::blocks;
  }

  // What the decoded values are linear in: the scale of each row, and the levels of all segments one behind the other.
  const std::vector<float>& row_scale() const { return row_scale_; }
  std::vector<float> levels() const;
  // Other values for both, under the constructor's conditions; no other thread may be using the matrix. row_scale: f16.
  // Throws INVALID_ARGUMENT and changes nothing when one does not hold.
  void set_scales(const uint16_t* row_scale, const float* levels);

  // For the gradient of a loss at rows [first, first + count), count x columns: the gradient at their scales into
  // row_scale, and theirs at the levels added to those in `levels`. A level of 0 has none.
  void scale_gradients(size_t first, size_t count, const float* gradient, double* row_scale, double* levels) const;

 private:
  void panel_products(size_t first, size_t count, const IntegerTokens& tokens, size_t first_token, size_t token_count,
                      float* y, size_t stride) const;

  PvqLayout layout_;
  std::vector<std::unique_ptr<SegmentRows>> segments_;
  std::vector<float> row_scale_;
  // Null where the rows have no panels.
  const PanelKernel* panels_ = nullptr;
};

}  // namespace pyramidion
