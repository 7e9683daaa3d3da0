#include "cuda/linear/segment_codes.h"

#include "cuda/expanded_codes.h"
#include "cuda/launch_kernel.h"
#include "cuda/layout.h"
#include "cuda/pair_codes.h"

namespace pyramidion::cuda {
namespace {

std::string code_name(const CodeTables& tables) {
  return "_d" + std::to_string(tables.dimension) + (tables.bits <= 32 ? "_w32" : "_w64");
}

}  // namespace

size_t bytes_of(InputFormat format) { return format == InputFormat::f32 ? 4 : format == InputFormat::i8 ? 1 : 2; }

std::string suffix(InputFormat format) {
  switch (format) {
    case InputFormat::f32:
      return "_f32";
    case InputFormat::f16:
      return "_f16";
    case InputFormat::i8:
      return "_i8";
    default:
      return "_i8_f16";
  }
}

void check_multiplied(const PvqCode& code) {
  if (!can_expand(code)) check_kernels(code);
}

SegmentCodes::SegmentCodes(const Context& context, Stream& stream, const PvqCode& code, const uint8_t* codes,
                           size_t row_bytes, size_t rows, const uint16_t* row_scale, Wish wish, ThreadPool& pool)
    : context_(context), columns_(static_cast<uint32_t>(code.columns)) {
  const bool stored = has_kernels(code), pairs = stored && wish.int8 && has_pair_codes(code);
  if (!stored || (wish.expanded && !pairs && can_expand(code))) {
    expand(stream, code, codes, row_bytes, rows, pool);
    return;
  }
  store(stream, code, codes, row_bytes, rows, pool);
  weights_.row_scale = row_scale;
  if (!pairs) return;
  const PairLayout layout = pair_layout(code);
  const std::vector<uint32_t> words = pair_quads(code, layout, codes, row_bytes, rows, pool);
  pairs_ = pair_codes(code, layout, upload(stream, words.data(), words.size()),
                      upload(stream, layout.table.data(), layout.table.size()));
  // Only then has the device taken what is about to go.
  stream.synchronize();
}

void SegmentCodes::expand(Stream& stream, const PvqCode& code, const uint8_t* codes, size_t row_bytes, size_t rows,
                          ThreadPool& pool) {
  const ExpandedRowsOnHost expanded = expand_rows(code, codes, row_bytes, rows, pool);
  gains_of_chunk_ = gains_of_chunk(code);
  expanded_ = {upload(stream, expanded.pulses.data(), expanded.pulses.size()),
               upload(stream, expanded.gains.data(), expanded.gains.size()), columns_,
               static_cast<uint32_t>(chunks_of_row(code))};
  stream.synchronize();
}

void SegmentCodes::store(Stream& stream, const PvqCode& code, const uint8_t* codes, size_t row_bytes, size_t rows,
                         ThreadPool& pool) {
  const DeviceTables tables = device_tables(code);
  const std::vector<uint32_t> quads = row_quads(code, codes, row_bytes, rows, pool);
  weights_.tables =
      tables_at(tables.tables, reinterpret_cast<uint64_t>(upload(stream, tables.words.data(), tables.words.size())));
  weights_.codes = upload(stream, quads.data(), quads.size());
  weights_.rows = static_cast<uint32_t>(rows);
  weights_.columns = columns_;
  weights_.groups = static_cast<uint32_t>(code.groups);
  weights_.quad_words = quad_words(code.groups, code.bits);
  stream.synchronize();
}

// The address of a copy on the device, which lives as long as this.
template <class T>
const T* SegmentCodes::upload(Stream& stream, const T* data, size_t count) {
  memory_.emplace_back(context_, count * sizeof(T));
  stream.upload(memory_.back(), data, count * sizeof(T));
  return memory_.back().as<const T>();
}

size_t SegmentCodes::bytes() const {
  size_t total = 0;
  for (const DeviceBuffer& buffer : memory_) total += buffer.bytes();
  return total;
}

void SegmentCodes::multiply(Stream& stream, const GemvOutputs& p, InputFormat format) const {
  const std::string count = p.tokens == 1 ? "_t1" : "_t8";
  if (pairs_.words != nullptr) {
    launch(context_, stream, "pair_gemv", "pair_gemv_i8" + count, pair_gemv_shape(pairs_, p.rows),
           PairGemvParameters{pairs_, p});
  } else if (expanded()) {
    launch(context_, stream, "expanded_codes",
           "expanded_gemv_g" + std::to_string(gains_of_chunk_) + suffix(format) + count, gemv_shape(p.rows),
           ExpandedGemvParameters{expanded_, p});
  } else {
    launch(context_, stream, "decode_gemv", "decode_gemv" + code_name(weights_.tables) + suffix(format) + count,
           gemv_shape(p.rows), GemvParameters{weights_, p.x, p.up, p.bias, p.y, p.tokens, p.y_stride, p.accumulate});
  }
}

void SegmentCodes::make_halves(Stream& stream, size_t first, size_t count, size_t stride, void* out) const {
  const auto first_row = static_cast<uint32_t>(first), rows = static_cast<uint32_t>(count),
             halves = static_cast<uint32_t>(stride);
  if (expanded()) {
    launch(context_, stream, "expanded_codes", "expanded_rows_g" + std::to_string(gains_of_chunk_),
           expanded_rows_shape(rows, expanded_.chunks), ExpandedRowsParameters{expanded_, out, first_row, halves});
  } else {
    launch(context_, stream, "decode_rows", "decode_rows" + code_name(weights_.tables),
           decode_shape(rows, weights_.groups), DecodeParameters{weights_, out, first_row, rows, halves});
  }
}

}  // namespace pyramidion::cuda
