#include "cuda/linear/pvq_product.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/matrix/factor_matrix.h"
#include "cuda/launch_kernel.h"
#include "cuda/layout.h"
#include "cuda/pair_codes.h"

namespace pyramidion::cuda {
namespace {

// Tokens that one launch of decode_gemv or pair_gemv takes, and those whose inputs and outputs are on the way at a
// time.
constexpr size_t kGemvTokens = 8, kPassTokens = 512;

// Up to so many tokens, pair_gemv for every eight of them takes fewer instructions than decode_gemm, which takes the
// same for up to 64 (docs/gpu.md).
constexpr size_t kPairTokens = 32;

// Inputs of a token; a multiple of 16, as Activations wants it.
size_t padded(size_t columns) { return (columns + 15) / 16 * 16; }

// Behind the last token that many more can be read.
constexpr size_t kReadAhead = 16;

std::string suffix(InputFormat format) {
  return format == InputFormat::f32 ? "_f32" : format == InputFormat::f16 ? "_f16" : "_i8";
}

std::string code_name(const CodeTables& tables) {
  return "_d" + std::to_string(tables.dimension) + (tables.bits <= 32 ? "_w32" : "_w64");
}

void check_parts(const PvqProductParts& parts, const std::vector<uint8_t>& codes, const Context& context) {
  const PvqLayout& layout = *parts.layout;
  check_kernels(layout);
  const size_t most = (context.device().shared_bytes - kRotateStaticBytes) / sizeof(float);
  if (layout.columns > most) {
    throw Error("UNSUPPORTED_FORMAT", "rows on the device may have " + std::to_string(most) + " columns, got " +
                                          std::to_string(layout.columns));
  }
  const int64_t invalid = first_invalid_row(layout, codes.data(), parts.rows);
  if (invalid >= 0) {
    throw Error("INVALID_ARGUMENT", "codes must be below levels x N(dimension, pulses) and their padding zero; row " +
                                        std::to_string(invalid) + " is not");
  }
}

}  // namespace

size_t bytes_of(InputFormat format) { return format == InputFormat::f32 ? 4 : format == InputFormat::f16 ? 2 : 1; }

PvqProduct::PvqProduct(const PvqProductParts& parts)
    : context_(Context::shared()), rows_(parts.rows), columns_(parts.layout->columns), int8_(parts.int8) {
  // The copy is checked and used, not the original, which another thread may be able to change.
  const std::vector<uint8_t> codes(parts.codes, parts.codes + rows_ * parts.layout->row_bytes);
  check_parts(parts, codes, context_);
  const Context::Current current(context_);
  Stream stream(context_);
  row_scale_ = upload(stream, parts.row_scale, rows_);
  if (parts.bias != nullptr) bias_ = upload(stream, parts.bias, rows_);
  add_inputs(stream, parts);
  const uint8_t* segment = codes.data();
  for (const PvqCode& code : parts.layout->codes) {
    add_segment(stream, code, segment, parts.layout->row_bytes);
    segment += code.bytes;
  }
  stream.synchronize();
}

// The address of a copy on the device, which lives as long as the product.
template <class T>
const T* PvqProduct::upload(Stream& stream, const T* data, size_t count) {
  memory_.emplace_back(context_, count * sizeof(T));
  stream.upload(memory_.back(), data, count * sizeof(T));
  return memory_.back().as<const T>();
}

void PvqProduct::add_inputs(Stream& stream, const PvqProductParts& parts) {
  inputs_.width = static_cast<uint32_t>(columns_);
  inputs_.stride = static_cast<uint32_t>(padded(columns_));
  inputs_.order = 1;
  if (const Rotation* rotation = parts.rotation) {
    inputs_.order = static_cast<uint32_t>(rotation->order());
    inputs_.block_log2 = rotation->sylvester_log2();
    inputs_.scaled_signs = upload(stream, rotation->scaled_signs().data(), columns_);
    const std::vector<float>& matrix = rotation->matrix();
    if (!matrix.empty()) inputs_.matrix = upload(stream, matrix.data(), matrix.size());
  }
  if (parts.rank == 0) return;
  const size_t rank = parts.rank;
  inputs_.down.rank = up_.rank = static_cast<uint32_t>(rank);
  inputs_.down.values = upload(stream, parts.a.values, rank * columns_);
  inputs_.down.scales = upload(stream, parts.a.scales, rank * FactorMatrix::blocks(columns_));
  up_.values = upload(stream, parts.b.values, rows_ * rank);
  up_.scales = upload(stream, parts.b.scales, rows_ * FactorMatrix::blocks(rank));
}

void PvqProduct::add_segment(Stream& stream, const PvqCode& code, const uint8_t* codes, size_t row_bytes) {
  const DeviceTables tables = device_tables(code);
  const std::vector<uint32_t> quads = row_quads(code, codes, row_bytes, rows_);
  Segment segment{};
  segment.first_column = segments_.empty() ? 0 : segments_.back().first_column + segments_.back().weights.columns;
  SegmentWeights& weights = segment.weights;
  weights.tables =
      tables_at(tables.tables, reinterpret_cast<uint64_t>(upload(stream, tables.words.data(), tables.words.size())));
  weights.codes = upload(stream, quads.data(), quads.size());
  weights.row_scale = row_scale_;
  weights.rows = static_cast<uint32_t>(rows_);
  weights.columns = static_cast<uint32_t>(code.columns);
  weights.groups = static_cast<uint32_t>(code.groups);
  weights.quad_words = quad_words(code.groups, code.bits);
  if (int8_ && has_pair_codes(code)) {
    const PairLayout layout = pair_layout(code);
    const std::vector<uint32_t> pairs = pair_quads(code, layout, codes, row_bytes, rows_);
    const uint32_t* words = upload(stream, pairs.data(), pairs.size());
    segment.pairs = pair_codes(code, layout, words, upload(stream, layout.table.data(), layout.table.size()));
    stream.synchronize();
  }
  segments_.push_back(segment);
  // Only then has the device taken what is about to go.
  stream.synchronize();
}

size_t PvqProduct::bytes() const {
  size_t total = 0;
  for (const DeviceBuffer& buffer : memory_) total += buffer.bytes();
  return total;
}

InputFormat PvqProduct::input_format(size_t tokens) const {
  if (int8_) return InputFormat::i8;
  return tokens <= kGemvTokens ? InputFormat::f32 : InputFormat::f16;
}

void PvqProduct::multiply(const float* x, size_t tokens, float* y, bool prepared) const {
  const Context::Current current(context_);
  const LanePool::Borrowed lane(LanePool::shared());
  for (size_t first = 0; first < tokens; first += kPassTokens) {
    const size_t count = std::min(kPassTokens, tokens - first);
    lane->reserve(lane->inputs, count * columns_ * sizeof(float));
    lane->reserve(lane->prepared, (count * inputs_.stride + kReadAhead) * bytes_of(input_format(count)));
    lane->reserve(lane->token_scale, count * sizeof(float));
    lane->reserve(lane->projected, count * up_.rank * sizeof(float));
    lane->reserve(lane->outputs, count * rows_ * sizeof(float));

    std::copy_n(x + first * columns_, count * columns_, lane->inputs.host.as<float>());
    lane->stream.upload(lane->inputs.device, lane->inputs.host.as<float>(), count * columns_ * sizeof(float));
    enqueue_inputs(*lane, count, prepared);
    const bool scaled = input_format(count) != InputFormat::f32;
    enqueue(lane->stream,
            {lane->prepared.as<const void>(), scaled ? lane->token_scale.as<const float>() : nullptr, inputs_.stride},
            lane->projected.as<const float>(), count, lane->outputs.device.as<float>());
    lane->stream.download(lane->outputs.host.as<float>(), lane->outputs.device, count * rows_ * sizeof(float));
    lane->stream.synchronize();
    std::copy_n(lane->outputs.host.as<float>(), count * rows_, y + first * rows_);
  }
}

// Rotates the lane's inputs, or takes them as they are, rounds them to the product's format and multiplies them with A.
// Inputs that were rounded to int8 before are the same multiples of their scale again.
void PvqProduct::enqueue_inputs(Lane& lane, size_t tokens, bool prepared) const {
  const InputFormat format = input_format(tokens);
  RotateParameters parameters = inputs_;
  parameters.x = lane.inputs.device.as<const float>();
  parameters.out = lane.prepared.as<void>();
  parameters.token_scale = format == InputFormat::f32 ? nullptr : lane.token_scale.as<float>();
  parameters.down.projected = lane.projected.as<float>();
  if (prepared) {
    parameters.scaled_signs = parameters.matrix = nullptr;
    parameters.order = 1;
    parameters.block_log2 = 0;
  }
  const Shape shape = rotate_shape(static_cast<uint32_t>(tokens), parameters.width, parameters.down.rank);
  launch(context_, lane.stream, "rotate_inputs", "rotate_inputs" + suffix(format), shape, parameters);
}

void PvqProduct::enqueue(Stream& stream, const Activations& x, const float* projected, size_t tokens, float* y) const {
  const InputFormat format = input_format(tokens);
  for (const Segment& segment : segments_) {
    GemvParameters parameters{};
    parameters.weights = segment.weights;
    parameters.x = x;
    parameters.x.values = static_cast<const char*>(x.values) + segment.first_column * bytes_of(format);
    // Once a row, whatever the number of segments.
    if (segment.first_column == 0) {
      parameters.up = up_;
      parameters.up.projected = projected;
      parameters.bias = bias_;
    }
    parameters.y = y;
    parameters.tokens = static_cast<uint32_t>(tokens);
    parameters.y_stride = static_cast<uint32_t>(rows_);
    parameters.accumulate = segment.first_column > 0;
    enqueue_segment(stream, segment, parameters, format);
  }
}

void PvqProduct::enqueue_segment(Stream& stream, const Segment& segment, const GemvParameters& all,
                                 InputFormat format) const {
  const bool pairs = segment.pairs.words != nullptr;
  const std::string code = code_name(all.weights.tables) + suffix(format);
  if (all.tokens > (pairs ? kPairTokens : kGemvTokens)) {
    launch(context_, stream, "decode_gemm", "decode_gemm" + code, gemm_shape(all.weights.rows, all.tokens), all);
    return;
  }
  for (size_t t = 0; t < all.tokens; t += kGemvTokens) {
    GemvParameters p = all;
    p.x.values = static_cast<const char*>(all.x.values) + t * all.x.stride * bytes_of(format);
    if (all.x.token_scale != nullptr) p.x.token_scale += t;
    if (all.up.rank > 0) p.up.projected += t * all.up.rank;
    p.y += t * rows_;
    p.tokens = static_cast<uint32_t>(std::min(kGemvTokens, all.tokens - t));
    const char* count = p.tokens == 1 ? "_t1" : "_t8";
    if (!pairs) {
      launch(context_, stream, "decode_gemv", "decode_gemv" + code + count, gemv_shape(p.weights.rows), p);
      continue;
    }
    const PairGemvParameters pair{
        segment.pairs,
        {p.weights.row_scale, p.weights.rows, p.x, p.up, p.bias, p.y, p.tokens, p.y_stride, p.accumulate}};
    launch(context_, stream, "pair_gemv", std::string("pair_gemv_i8") + count,
           pair_gemv_shape(pair.codes, p.weights.rows), pair);
  }
}

}  // namespace pyramidion::cuda
