#include "cuda/linear/pvq_product.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "cuda/layout.h"
#include "cuda/linear/lane.h"

namespace pyramidion::cuda {
namespace {

// Inputs of a token in floats; a multiple of 16, as Activations wants it.
size_t padded(size_t columns) { return (columns + 15) / 16 * 16; }

// Behind the last token that many more can be read.
constexpr size_t kReadAhead = 16;

std::string gemv_name(const CodeTables& tables, size_t tokens) {
  return "decode_gemv_d" + std::to_string(tables.dimension) + (tables.bits <= 32 ? "_w32" : "_w64") + "_f32" +
         (tokens == 1 ? "_t1" : "_t8");
}

}  // namespace

PvqProduct::PvqProduct(const PvqProductParts& parts)
    : context_(Context::shared()), rows_(parts.rows), columns_(parts.layout->columns), a_(parts.a) {
  const PvqLayout& layout = *parts.layout;
  for (const PvqCode& code : layout.codes) {
    if (has_kernels(code)) continue;
    throw Error("UNSUPPORTED_FORMAT", "no CUDA kernel decodes groups of " + std::to_string(code.dimension) +
                                          (code.lattice == Lattice::integer ? "" : " on the Barnes-Wall lattice"));
  }
  // The copy is checked, not the original, which another thread may be able to change.
  const std::vector<uint8_t> codes(parts.codes, parts.codes + rows_ * layout.row_bytes);
  const int64_t invalid = first_invalid_row(layout, codes.data(), rows_);
  if (invalid >= 0) {
    throw Error("INVALID_ARGUMENT", "codes must be below levels x N(dimension, pulses) and their padding zero; row " +
                                        std::to_string(invalid) + " is not");
  }
  const Context::Current current(context_);
  Stream stream(context_);
  row_scale_ = reinterpret_cast<const uint16_t*>(upload(stream, parts.row_scale, rows_ * sizeof(uint16_t)));
  if (parts.bias != nullptr) {
    bias_ = reinterpret_cast<const float*>(upload(stream, parts.bias, rows_ * sizeof(float)));
  }
  if (parts.rank > 0) {
    up_.rank = static_cast<uint32_t>(parts.rank);
    up_.values = reinterpret_cast<const int8_t*>(upload(stream, parts.b, rows_ * parts.rank));
    up_.scales = reinterpret_cast<const uint16_t*>(
        upload(stream, parts.b_scales, rows_ * FactorMatrix::blocks(parts.rank) * sizeof(uint16_t)));
  }
  const uint8_t* segment = codes.data();
  for (const PvqCode& code : layout.codes) {
    add_segment(stream, code, segment, layout.row_bytes);
    segment += code.bytes;
  }
  stream.synchronize();
}

CUdeviceptr PvqProduct::upload(Stream& stream, const void* data, size_t bytes) {
  memory_.emplace_back(context_, bytes);
  stream.upload(memory_.back(), data, bytes);
  return memory_.back().address();
}

void PvqProduct::add_segment(Stream& stream, const PvqCode& code, const uint8_t* codes, size_t row_bytes) {
  const DeviceTables tables = device_tables(code);
  const std::vector<uint32_t> quads = row_quads(code, codes, row_bytes, rows_);
  SegmentWeights weights{};
  weights.tables =
      tables_at(tables.tables, upload(stream, tables.words.data(), tables.words.size() * sizeof(uint64_t)));
  weights.codes = reinterpret_cast<const uint32_t*>(upload(stream, quads.data(), quads.size() * sizeof(uint32_t)));
  weights.row_scale = row_scale_;
  weights.rows = static_cast<uint32_t>(rows_);
  weights.columns = static_cast<uint32_t>(code.columns);
  weights.groups = static_cast<uint32_t>(code.groups);
  weights.quad_words = quad_words(code.groups, code.bits);
  segments_.push_back(weights);
  // Memory that is not pinned was read when upload() returned, but only a stream that is done has taken it.
  stream.synchronize();
}

size_t PvqProduct::bytes() const {
  size_t total = 0;
  for (const DeviceBuffer& buffer : memory_) total += buffer.bytes();
  return total;
}

void PvqProduct::multiply(const float* x, size_t tokens, float* y) const {
  const Context::Current current(context_);
  const LanePool::Borrowed lane(LanePool::shared());
  const size_t stride = padded(columns_), rank = up_.rank;
  for (size_t first = 0; first < tokens; first += kMostTokens) {
    const size_t count = std::min(kMostTokens, tokens - first);
    const size_t input_bytes = (count * stride + kReadAhead) * sizeof(float);
    lane->inputs.reserve(input_bytes);
    lane->outputs.reserve(count * rows_ * sizeof(float));
    float* inputs = lane->inputs.host<float>();
    std::fill_n(inputs, count * stride + kReadAhead, 0.0f);
    for (size_t t = 0; t < count; ++t) std::copy_n(x + (first + t) * columns_, columns_, inputs + t * stride);
    lane->stream.upload(lane->inputs.device(), inputs, input_bytes);

    const float* projected = nullptr;
    if (rank > 0) {
      lane->projected.reserve(count * rank * sizeof(float));
      float* values = lane->projected.host<float>();
      for (size_t t = 0; t < count; ++t) a_->row_dots(0, rank, inputs + t * stride, values + t * rank);
      lane->stream.upload(lane->projected.device(), values, count * rank * sizeof(float));
      projected = lane->projected.device_as<const float>();
    }
    const Activations activations{lane->inputs.device_as<const float>(), nullptr, static_cast<uint32_t>(stride)};
    enqueue(lane->stream, activations, projected, count, lane->outputs.device_as<float>());
    float* outputs = lane->outputs.host<float>();
    lane->stream.download(outputs, lane->outputs.device(), count * rows_ * sizeof(float));
    lane->stream.synchronize();
    std::copy_n(outputs, count * rows_, y + first * rows_);
  }
}

void PvqProduct::enqueue(Stream& stream, const Activations& x, const float* projected, size_t tokens, float* y) const {
  const auto* inputs = static_cast<const float*>(x.values);
  for (size_t s = 0; s < segments_.size(); ++s) {
    const SegmentWeights& weights = segments_[s];
    GemvParameters parameters{};
    parameters.weights = weights;
    parameters.x = {inputs, x.token_scale, x.stride};
    // Once a row, whatever the number of segments.
    if (s == 0) {
      parameters.up = up_;
      parameters.up.projected = projected;
      parameters.bias = bias_;
    }
    parameters.y = y;
    parameters.tokens = static_cast<uint32_t>(tokens);
    parameters.y_stride = static_cast<uint32_t>(rows_);
    parameters.accumulate = s > 0;
    const Shape shape = gemv_shape(weights.rows);
    stream.launch(context_.function("decode_gemv", gemv_name(weights.tables, tokens)),
                  {shape.grid_x, shape.grid_y, shape.grid_z}, {shape.threads, 1, 1}, shape.dynamic_shared, parameters);
    inputs += weights.columns;
  }
}

}  // namespace pyramidion::cuda
