#include "cuda/linear/pvq_product.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/matrix/factor_matrix.h"
#include "cpu/pvq_decode/dispatch.h"
#include "cuda/launch_kernel.h"

namespace pyramidion::cuda {
namespace {

// Tokens whose inputs and outputs are on the way at a time.
constexpr size_t kPassTokens = 512;

// Up to so many tokens of int8 inputs, a product of pair codes or expanded codes for every eight of them is faster than
// making halves of the rows (docs/gpu.md).
constexpr size_t kInt8Tokens = 32;

// Rows are made halves a band at a time. Large: a band of few rows leaves processors idle.
constexpr size_t kBandBytes = size_t{256} << 20;
// What a launch can have in its second dimension, and whole tiles.
constexpr size_t kMostBandRows = 65536 - kLargeTile.side;

// From so many tokens on the large tiles of half_gemm are enough to keep the device busy.
constexpr size_t kLargeTileTokens = 256;

// Inputs of a token; a multiple of 16, as Activations wants it.
size_t padded(size_t columns) { return (columns + 15) / 16 * 16; }

// Behind the last token that many more can be read.
constexpr size_t kReadAhead = 16;

void check_parts(const PvqProductParts& parts, const std::vector<uint8_t>& codes, const Context& context) {
  const PvqLayout& layout = *parts.layout;
  size_t first_column = 0;
  for (const PvqCode& code : layout.codes) {
    check_multiplied(code);
    // Kernels read inputs eight at a time.
    if (first_column % 8 != 0) {
      throw Error("UNSUPPORTED_FORMAT", "no CUDA kernel takes a segment that begins at column " +
                                            std::to_string(first_column) + ", no multiple of 8");
    }
    first_column += code.columns;
  }
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

// To and from pinned memory, which one thread copies slower than the bus does.
void copy(const float* from, size_t count, float* to, ThreadPool& pool) {
  constexpr size_t grain = size_t{1} << 16;
  pool.parallel_for(count, grain, [&](size_t begin, size_t end) { std::copy(from + begin, from + end, to + begin); });
}

// A row of halves, and the rows of a band.
size_t half_stride(size_t columns) { return (columns + 7) / 8 * 8; }
size_t band_rows(size_t rows, size_t columns) {
  const size_t most = kBandBytes / (2 * half_stride(columns)) / kLargeTile.side * kLargeTile.side;
  return std::min(rows, std::clamp<size_t>(most, kLargeTile.side, kMostBandRows));
}
size_t band_bytes(size_t rows, size_t columns) { return 2 * band_rows(rows, columns) * half_stride(columns); }

}  // namespace

PvqProduct::PvqProduct(const PvqProductParts& parts, ThreadPool& pool)
    : context_(Context::shared()), rows_(parts.rows), columns_(parts.layout->columns), int8_(parts.int8) {
  // The copy is checked and used, not the original, which another thread may be able to change.
  const size_t code_bytes = rows_ * parts.layout->row_bytes;
  std::vector<uint8_t> codes(code_bytes + pvq_read_ahead);
  std::copy_n(parts.codes, code_bytes, codes.begin());
  check_parts(parts, codes, context_);
  const Context::Current current(context_);
  Stream stream(context_);
  row_scale_ = upload(stream, parts.row_scale, rows_);
  if (parts.bias != nullptr) bias_ = upload(stream, parts.bias, rows_);
  add_inputs(stream, parts);
  const uint8_t* segment = codes.data();
  bool fast = true;
  for (const PvqCode& code : parts.layout->codes) {
    segments_.push_back(std::make_unique<SegmentCodes>(context_, stream, code, segment, parts.layout->row_bytes, rows_,
                                                       row_scale_, SegmentCodes::Wish{int8_, parts.expanded}, pool));
    segment += code.bytes;
    fast &= segments_.back()->fast();
  }
  stream.synchronize();
  gemv_tokens_ = int8_ && fast ? kInt8Tokens : kGemvTokens;
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
  if (const Rotation* rotation = parts.rotation) {
    inputs_.block_log2 = rotation->sylvester_log2();
    inputs_.scaled_signs = upload(stream, rotation->scaled_signs().data(), columns_);
    const std::vector<float>& matrix = rotation->matrix();
    if (!matrix.empty()) {
      mix_ = {nullptr,
              std::exchange(inputs_.scaled_signs, nullptr),
              upload(stream, matrix.data(), matrix.size()),
              nullptr,
              inputs_.width,
              static_cast<uint32_t>(rotation->order()),
              inputs_.block_log2};
    }
  }
  if (parts.rank == 0) return;
  const size_t rank = parts.rank;
  inputs_.down.rank = up_.rank = static_cast<uint32_t>(rank);
  inputs_.down.values = upload(stream, parts.a.values, rank * columns_);
  inputs_.down.scales = upload(stream, parts.a.scales, rank * FactorMatrix::blocks(columns_));
  up_.values = upload(stream, parts.b.values, rows_ * rank);
  up_.scales = upload(stream, parts.b.scales, rows_ * FactorMatrix::blocks(rank));
}

size_t PvqProduct::bytes() const {
  size_t total = 0;
  for (const DeviceBuffer& buffer : memory_) total += buffer.bytes();
  for (const auto& segment : segments_) total += segment->bytes();
  return total;
}

bool PvqProduct::expanded() const {
  return std::any_of(segments_.begin(), segments_.end(), [](const auto& each) { return each->expanded(); });
}

InputFormat PvqProduct::input_format(size_t tokens) const {
  if (tokens <= gemv_tokens_) return int8_ ? InputFormat::i8 : InputFormat::f32;
  return int8_ ? InputFormat::i8_f16 : InputFormat::f16;
}

size_t PvqProduct::scratch_bytes(size_t tokens) const {
  size_t most = 0;
  if (tokens <= gemv_tokens_) return most;
  for (const auto& segment : segments_) {
    most = std::max(most, band_bytes(rows_, segment->columns()));
  }
  return most + kHalfGemmPartialBytes;
}

void PvqProduct::multiply(const float* x, size_t tokens, float* y, bool prepared, ThreadPool& pool) const {
  const Context::Current current(context_);
  const LanePool::Borrowed lane(LanePool::shared());
  for (size_t first = 0; first < tokens; first += kPassTokens) {
    const size_t count = std::min(kPassTokens, tokens - first);
    lane->reserve(lane->inputs, count * columns_ * sizeof(float));
    lane->reserve(lane->mixed, mix_.matrix != nullptr && !prepared ? count * columns_ * sizeof(float) : 0);
    lane->reserve(lane->prepared, (count * inputs_.stride + kReadAhead) * bytes_of(input_format(count)));
    lane->reserve(lane->token_scale, count * sizeof(float));
    lane->reserve(lane->projected, count * up_.rank * sizeof(float));
    lane->reserve(lane->outputs, count * rows_ * sizeof(float));
    lane->reserve(lane->scratch, scratch_bytes(count));

    copy(x + first * columns_, count * columns_, lane->inputs.host.as<float>(), pool);
    lane->stream.upload(lane->inputs.device, lane->inputs.host.as<float>(), count * columns_ * sizeof(float));
    enqueue_inputs(*lane, count, prepared);
    const bool scaled = input_format(count) != InputFormat::f32;
    enqueue(lane->stream,
            {lane->prepared.as<const void>(), scaled ? lane->token_scale.as<const float>() : nullptr, inputs_.stride},
            lane->projected.as<const float>(), count, lane->outputs.device.as<float>(), lane->scratch);
    lane->stream.download(lane->outputs.host.as<float>(), lane->outputs.device, count * rows_ * sizeof(float));
    lane->stream.synchronize();
    copy(lane->outputs.host.as<float>(), count * rows_, y + first * rows_, pool);
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
    parameters.scaled_signs = nullptr;
    parameters.block_log2 = 0;
  } else if (mix_.matrix != nullptr) {
    MixParameters mix = mix_;
    mix.x = parameters.x;
    parameters.x = mix.out = lane.mixed.as<float>();
    launch(context_, lane.stream, "rotate_inputs", "mix_inputs", mix_shape(static_cast<uint32_t>(tokens), mix.width),
           mix);
  }
  const Shape shape = rotate_shape(static_cast<uint32_t>(tokens), parameters.width, parameters.down.rank);
  launch(context_, lane.stream, "rotate_inputs", "rotate_inputs" + suffix(format), shape, parameters);
}

void PvqProduct::enqueue(Stream& stream, const Activations& x, const float* projected, size_t tokens, float* y,
                         const DeviceBuffer& scratch) const {
  const InputFormat format = input_format(tokens);
  size_t first_column = 0;
  for (const auto& segment : segments_) {
    GemvOutputs outputs{};
    outputs.row_scale = row_scale_;
    outputs.rows = static_cast<uint32_t>(rows_);
    outputs.x = x;
    outputs.x.values = static_cast<const char*>(x.values) + first_column * bytes_of(format);
    // Once a row, whatever the number of segments.
    if (first_column == 0) {
      outputs.up = up_;
      outputs.up.projected = projected;
      outputs.bias = bias_;
    }
    outputs.y = y;
    outputs.tokens = static_cast<uint32_t>(tokens);
    outputs.y_stride = static_cast<uint32_t>(rows_);
    outputs.accumulate = first_column > 0;
    if (tokens > gemv_tokens_) {
      enqueue_halves(stream, *segment, outputs, scratch);
    } else {
      enqueue_gemv(stream, *segment, outputs, format);
    }
    first_column += segment->columns();
  }
}

// Band after band: rows as halves, then their product. Scratch holds a band, and the sums of parts behind it.
void PvqProduct::enqueue_halves(Stream& stream, const SegmentCodes& segment, const GemvOutputs& all,
                                const DeviceBuffer& scratch) const {
  const size_t columns = segment.columns(), stride = half_stride(columns), band = band_rows(rows_, columns);
  const bool large = all.tokens >= kLargeTileTokens;
  const HalfGemmTile& tile = large ? kLargeTile : kSmallTile;
  for (size_t first = 0; first < rows_; first += band) {
    const size_t rows = std::min(band, rows_ - first);
    segment.make_halves(stream, first, rows, stride, scratch.as<void>());
    HalfGemmParameters product{scratch.as<const void>(),
                               static_cast<uint32_t>(stride),
                               static_cast<uint32_t>(columns),
                               all,
                               reinterpret_cast<float*>(scratch.address() + band_bytes(rows_, columns)),
                               1,
                               0};
    GemvOutputs& outputs = product.outputs;
    outputs.rows = static_cast<uint32_t>(rows);
    outputs.row_scale += first;
    outputs.y += first;
    if (outputs.bias != nullptr) outputs.bias += first;
    if (outputs.up.rank > 0) {
      outputs.up.values += first * outputs.up.rank;
      outputs.up.scales += first * FactorMatrix::blocks(outputs.up.rank);
    }
    share_columns(product, tile);
    launch(context_, stream, "half_gemm", large ? "half_gemm_large" : "half_gemm_small", half_gemm_shape(product, tile),
           product);
    if (product.parts > 1) {
      launch(context_, stream, "half_gemm", "half_gemm_sum", half_gemm_sum_shape(product), product);
    }
  }
}

void PvqProduct::enqueue_gemv(Stream& stream, const SegmentCodes& segment, const GemvOutputs& all,
                              InputFormat format) const {
  for (size_t t = 0; t < all.tokens; t += kGemvTokens) {
    GemvOutputs p = all;
    p.x.values = static_cast<const char*>(all.x.values) + t * all.x.stride * bytes_of(format);
    if (all.x.token_scale != nullptr) p.x.token_scale += t;
    if (all.up.rank > 0) p.up.projected += t * all.up.rank;
    p.y += t * rows_;
    p.tokens = static_cast<uint32_t>(std::min(kGemvTokens, all.tokens - t));
    segment.multiply(stream, p, format);
  }
}

}  // namespace pyramidion::cuda
