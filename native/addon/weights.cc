#include "addon/weights.h"

#include <cmath>
#include <string>

#include "addon/environment.h"
#include "addon/pvq.h"
#include "core/matrix/dense_matrix.h"
#include "core/matrix/int8_matrix.h"
#include "core/matrix/integer_matrix.h"
#include "core/matrix/mxint_matrix.h"
#include "core/matrix/small_codes.h"
#include "core/pvq/pvq_matrix.h"

namespace pyramidion {
namespace {

template <class T>
std::vector<T> slice(const Span<T>& span, size_t first, size_t count) {
  return std::vector<T>(span.data + first, span.data + first + count);
}

Weights parse_dense(const Argument& weights, const DenseFormat& format, size_t rows, size_t columns) {
  if (columns % format.block_values != 0) {
    throw Error("INVALID_SHAPE", weights.name() + ".columns must be a multiple of " +
                                     std::to_string(format.block_values) + " for " + format.name + ", got " +
                                     std::to_string(columns));
  }
  const size_t row_bytes = format.row_bytes(columns);
  const Span<uint8_t> data = weights["data"].array<uint8_t>(checked_product(rows, row_bytes, "weights"));
  return {rows, columns, [=, &format](size_t first, size_t count) -> std::unique_ptr<EncodedMatrix> {
            if (format.decoder == &FloatKernels::decode_q8_0) {
              return std::make_unique<Int8Matrix>(count, columns, data.data + first * row_bytes);
            }
            return std::make_unique<DenseMatrix>(format, count, columns, data.data + first * row_bytes);
          }};
}

Weights parse_pvq(const Argument& weights, size_t rows, size_t columns, MemoryLayout memory_layout) {
  const PvqLayout layout(columns, pvq_segments(weights["segments"]), shared_pyramids());
  const Span<uint8_t> codes = weights["codes"].array<uint8_t>(checked_product(rows, layout.row_bytes, "weights"));
  const Span<uint16_t> scale = weights["rowScale"].array<uint16_t>(rows);
  return {rows, columns, [=](size_t first, size_t count) {
            return std::make_unique<PvqMatrix>(count, layout, codes.data + first * layout.row_bytes, scale.data + first,
                                               instruction_set(), memory_layout, &shared_pool());
          }};
}

Weights parse_integer(const Argument& weights, size_t rows, size_t columns) {
  IntegerSettings settings{};
  settings.bits = static_cast<unsigned>(weights["bits"].integer(1, 8));
  settings.group_size = weights["groupSize"].integer(1, kMostRows);
  settings.symmetric = !weights["minimums"].present();
  const size_t row_bytes = small_code_bytes(columns, settings.bits), groups = settings.groups(columns);
  const Span<uint8_t> codes = weights["codes"].array<uint8_t>(checked_product(rows, row_bytes, "weights"));
  const Span<uint16_t> scales = weights["scales"].array<uint16_t>(rows * groups);
  const Span<uint16_t> minimums =
      settings.symmetric ? Span<uint16_t>{} : weights["minimums"].array<uint16_t>(rows * groups);
  return {rows, columns, [=](size_t first, size_t count) {
            IntegerRows stored{
                slice(codes, first * row_bytes, count * row_bytes), slice(scales, first * groups, count * groups),
                settings.symmetric ? std::vector<uint16_t>() : slice(minimums, first * groups, count * groups)};
            return std::make_unique<IntegerMatrix>(count, columns, settings, std::move(stored));
          }};
}

Weights parse_mxint(const Argument& weights, size_t rows, size_t columns) {
  MxintSettings settings{};
  settings.bits = static_cast<unsigned>(weights["bits"].integer(2, 8));
  settings.block_size = weights["blockSize"].integer(1, kMostRows);
  const size_t row_bytes = small_code_bytes(columns, settings.bits), blocks = settings.blocks(columns);
  const Span<uint8_t> codes = weights["codes"].array<uint8_t>(checked_product(rows, row_bytes, "weights"));
  const Span<uint8_t> exponents = weights["exponents"].array<uint8_t>(rows * blocks);
  return {rows, columns, [=](size_t first, size_t count) {
            return std::make_unique<MxintMatrix>(count, columns, settings,
                                                 MxintRows{slice(codes, first * row_bytes, count * row_bytes),
                                                           slice(exponents, first * blocks, count * blocks)});
          }};
}

}  // namespace

Weights parse_weights(const Argument& weights, MemoryLayout layout) {
  const Argument format = weights["format"];
  const std::string name = format.string();
  const size_t rows = weights["rows"].integer(1, kMostRows), columns = weights["columns"].integer(1, kMostRows);
  if (const DenseFormat* dense = find_dense_format(name)) return parse_dense(weights, *dense, rows, columns);
  if (name == "pvq") return parse_pvq(weights, rows, columns, layout);
  if (name == "integer") return parse_integer(weights, rows, columns);
  if (name == "mxint") return parse_mxint(weights, rows, columns);
  format.reject("f32, f16, bf16, q8_0, q4_0, q4_1, q4_k, q6_k, pvq, integer or mxint");
}

}  // namespace pyramidion
