#include "core/pvq/pvq_matrix.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/matrix/half.h"
#include "cpu/pvq_decode/dispatch.h"

namespace pyramidion {
namespace {

// Products whose lanes lie on the stack.
constexpr size_t kFewProducts = 64;

std::vector<float> checked_row_scale(const uint16_t* halves, size_t rows) {
  std::vector<float> scale;
  for (size_t row = 0; row < rows; ++row) {
    scale.push_back(half_to_float(halves[row]));
    if (!std::isfinite(scale.back())) {
      throw Error("INVALID_ARGUMENT",
                  "rowScale must be finite, got " + std::to_string(scale.back()) + " in row " + std::to_string(row));
    }
  }
  return scale;
}

}  // namespace

PvqMatrix::PvqMatrix(size_t rows, PvqLayout layout, const uint8_t* codes, const uint16_t* row_scale, InstructionSet set,
                     MemoryLayout memory_layout, ThreadPool* pool)
    : EncodedMatrix(rows, layout.columns), layout_(std::move(layout)) {
  // The copy is checked, not the original, which another thread may be able to change.
  std::vector<uint8_t> copy(rows * layout_.row_bytes + pvq_read_ahead);
  std::copy_n(codes, rows * layout_.row_bytes, copy.data());
  const int64_t invalid = first_invalid_row(layout_, copy.data(), rows);
  if (invalid >= 0) {
    throw Error("INVALID_ARGUMENT", "codes must be below levels x N(dimension, pulses) and their padding zero; row " +
                                        std::to_string(invalid) + " is not");
  }
  row_scale_ = checked_row_scale(row_scale, rows);
  const uint8_t* segment = copy.data();
  for (const PvqCode& code : layout_.codes) {
    segments_.push_back(make_segment_rows(memory_layout, code, segment, layout_.row_bytes, rows, set, pool));
    segment += code.bytes;
  }
  const auto fits = [](const auto& rows) { return rows->fits_panels(); };
  if (std::all_of(segments_.begin(), segments_.end(), fits)) panels_ = panel_kernel(set);
}

size_t PvqMatrix::bytes() const {
  size_t total = row_scale_.size() * sizeof(float);
  for (const auto& segment : segments_) total += segment->bytes();
  return total;
}

void PvqMatrix::decode_rows(size_t first, size_t count, float* out, size_t stride) const {
  for (size_t row = first; row < first + count; ++row, out += stride) {
    float* values = out;
    for (size_t s = 0; s < segments_.size(); ++s) {
      segments_[s]->decode(row, row_scale_[row], values);
      values += layout_.codes[s].columns;
    }
  }
}

size_t PvqMatrix::prepared_size() const {
  size_t size = 0;
  for (const auto& segment : segments_) size += segment->prepared_size();
  return size;
}

void PvqMatrix::prepare_vector(const float* x, float* prepared) const {
  for (size_t s = 0; s < segments_.size(); ++s) {
    segments_[s]->prepare(x, prepared);
    x += layout_.codes[s].columns;
    prepared += segments_[s]->prepared_size();
  }
}

void PvqMatrix::row_dots(size_t first, size_t count, const float* prepared, float* y) const {
  for (size_t row = first; row < first + count; ++row) {
    const float* values = prepared;
    float sum = 0;
    for (const auto& segment : segments_) {
      sum += segment->dot(row, values);
      values += segment->prepared_size();
    }
    y[row - first] = row_scale_[row] * sum;
  }
}

void PvqMatrix::integer_products(size_t first, size_t count, const IntegerTokens& tokens, size_t first_token,
                                 size_t token_count, float* y, size_t stride) const {
  if (tokens.order() == TokenOrder::panels) {
    return panel_products(first, count, tokens, first_token, token_count, y, stride);
  }
  const size_t products = count * token_count;
  // Of one token it is a few microseconds' work, of which allocating memory would be a tenth.
  alignas(64) float few_lanes[kFewProducts * block_groups], few_sums[kFewProducts];
  const bool few = products <= kFewProducts;
  AlignedBuffer<float> many_lanes(few ? 0 : products * block_groups), many_sums(few ? 0 : products);
  float *lanes = few ? few_lanes : many_lanes.data(), *sums = few ? few_sums : many_sums.data();
  std::fill_n(lanes, products * block_groups, 0.0f);
  for (size_t s = 0; s < segments_.size(); ++s) {
    segments_[s]->accumulate(first, count, tokens.segment(s, first_token, token_count), lanes);
  }
  sum_lanes(lanes, products, sums);
  // Token by token: rows of y may be a power of two apart, where single values of many would push each other out of the
  // caches.
  for (size_t t = 0; t < token_count; ++t) {
    const float scale = tokens.scale(first_token + t);
    for (size_t i = 0; i < count; ++i) y[t * stride + i] = row_scale_[first + i] * sums[i * token_count + t] * scale;
  }
}

void PvqMatrix::panel_products(size_t first, size_t count, const IntegerTokens& tokens, size_t first_token,
                               size_t token_count, float* y, size_t stride) const {
  std::vector<PanelPart> parts;
  std::vector<PanelTokens> inputs;
  size_t bytes = 0;
  for (size_t s = 0; s < segments_.size(); ++s) {
    const PvqCode& code = layout_.codes[s];
    const auto quads = static_cast<size_t>(quads_of(code));
    parts.push_back({quads, code.groups, nullptr});
    inputs.push_back(tokens.panel_segment(s, first_token));
    bytes += code.groups * panel_group_bytes(quads);
  }
  AlignedBuffer<uint8_t> panel(bytes);
  AlignedBuffer<float> sums(token_count * panel_rows);
  for (size_t begin = 0; begin < count; begin += panel_rows) {
    const size_t row = first + begin, rows = std::min(panel_rows, count - begin);
    uint8_t* part = panel.data();
    for (size_t s = 0; s < segments_.size(); ++s) {
      segments_[s]->fill_panel(*panels_, row, rows, part);
      parts[s].bytes = part;
      part += parts[s].groups * panel_group_bytes(parts[s].quads);
    }
    panels_->multiply(parts.data(), parts.size(), inputs.data(), token_count, sums.data());
    const float* row_scale = row_scale_.data() + row;
    for (size_t t = 0; t < token_count; ++t) {
      const float *own = sums.data() + t * panel_rows, scale = tokens.scale(first_token + t);
      float* __restrict out = y + t * stride + begin;
      for (size_t i = 0; i < rows; ++i) out[i] = row_scale[i] * own[i] * scale;
    }
  }
}

std::vector<float> PvqMatrix::levels() const {
  std::vector<float> levels;
  for (const PvqCode& code : layout_.codes) levels.insert(levels.end(), code.levels.begin(), code.levels.end());
  return levels;
}

void PvqMatrix::set_scales(const uint16_t* row_scale, const float* levels) {
  std::vector<float> scale = checked_row_scale(row_scale, rows());
  const float* segment = levels;
  for (const PvqCode& code : layout_.codes) {
    check_levels(segment, code.levels.size());
    segment += code.levels.size();
  }
  for (size_t s = 0; s < segments_.size(); ++s) {
    PvqCode& code = layout_.codes[s];
    std::copy_n(levels, code.levels.size(), code.levels.begin());
    segments_[s]->set_levels(levels);
    levels += code.levels.size();
  }
  row_scale_ = std::move(scale);
}

void PvqMatrix::scale_gradients(size_t first, size_t count, const float* gradient, double* row_scale,
                                double* levels) const {
  std::vector<float> values(columns());
  std::vector<uint32_t> chosen;
  for (size_t row = first; row < first + count; ++row, gradient += columns()) {
    const float* slope = gradient;
    double total = 0, *segment_levels = levels;
    for (size_t s = 0; s < segments_.size(); ++s) {
      const PvqCode& code = layout_.codes[s];
      const size_t dimension = static_cast<size_t>(code.dimension);
      // At a scale of 1: level p / ||p||.
      segments_[s]->decode(row, 1, values.data());
      chosen.resize(code.groups);
      segments_[s]->levels_of(row, chosen.data());
      for (size_t g = 0; g < code.groups; ++g) {
        double sum = 0;
        for (size_t i = g * dimension; i < std::min(code.columns, (g + 1) * dimension); ++i) {
          sum += static_cast<double>(slope[i]) * values[i];
        }
        total += sum;
        const uint32_t level = chosen[g];
        if (code.levels[level] > 0) segment_levels[level] += row_scale_[row] * sum / code.levels[level];
      }
      slope += code.columns;
      segment_levels += code.levels.size();
    }
    row_scale[row - first] = total;
  }
}

}  // namespace pyramidion
