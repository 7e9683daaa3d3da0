// Bindings of the PVQ codec: the pvq* functions and the bit stream of lib/native.ts.
#include "addon/pvq.h"

#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "core/pvq/bit_stream.h"
#include "core/pvq/gain_levels.h"
#include "core/pvq/row_encoder.h"
#include "cpu/pvq_search/dispatch.h"
#include "cuda/quantization/row_encoder.h"

namespace pyramidion {

PyramidCache& shared_pyramids() {
  // Never destroyed: jobs may outlast the start of process.exit().
  static PyramidCache& cache = *new PyramidCache;
  return cache;
}

Operation encoding(const JobControl& control, const std::function<PvqRows()>& encode) {
  const auto encoded = std::make_shared<PvqRows>();
  Operation operation;
  operation.work = [=] { *encoded = encode(); };
  operation.result = [=](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result["codes"] = to_typed_array(env, encoded->codes);
    result["rowScale"] = to_typed_array(env, encoded->row_scale);
    return result;
  };
  operation.control = control;
  return operation;
}

namespace {

// Lattice of lib/native.ts.
Lattice lattice_of(const Argument& lattice) {
  if (!lattice.present()) return Lattice::integer;
  const std::string name = lattice.string();
  if (name == "integer") return Lattice::integer;
  if (name == "barnes-wall") return Lattice::barnes_wall;
  lattice.reject("integer or barnes-wall");
}

}  // namespace

std::vector<PvqSegment> pvq_segments(const Argument& segments) {
  std::vector<PvqSegment> result;
  for (size_t i = 0; i < segments.length(); ++i) {
    const Argument segment = segments.element(i);
    const Span<float> levels = segment["levels"].array<float>();
    result.push_back({segment["columns"].integer(1, size_t{1} << 32),
                      static_cast<int>(segment["dimension"].integer(2, PyramidCounts::max_dimension)),
                      static_cast<int>(segment["pulses"].integer(1, PyramidCounts::max_pulses)),
                      std::vector<float>(levels.data, levels.data + levels.size), lattice_of(segment["lattice"])});
  }
  return result;
}

namespace {

constexpr size_t largest_count = size_t{1} << 48;

// rows, columns, segments and codes of PvqWeights.
struct StoredRows {
  size_t rows;
  PvqLayout layout;
  Span<uint8_t> codes;
};

StoredRows stored_rows(const Argument& weights) {
  const size_t rows = weights["rows"].integer(1, largest_count);
  PvqLayout layout(weights["columns"].integer(1, largest_count), pvq_segments(weights["segments"]), shared_pyramids());
  const size_t bytes = checked_product(rows, layout.row_bytes, "weights.codes");
  return {rows, std::move(layout), weights["codes"].array<uint8_t>(bytes)};
}

// dimension, pulses, and the lattice at the place given.
Pyramid pyramid_of(Call& call, int lattice_place) {
  const Argument dimension = call.argument(0, "dimension");
  const Pyramid pyramid = {static_cast<int>(dimension.integer(1, PyramidCounts::max_dimension)),
                           static_cast<int>(call.argument(1, "pulses").integer(0, PyramidCounts::max_pulses)),
                           lattice_of(call.argument(lattice_place, "lattice"))};
  if (pyramid.lattice == Lattice::barnes_wall && pyramid.dimension != BarnesWallIndex::dimension) {
    dimension.reject("16 for the Barnes-Wall lattice");
  }
  return pyramid;
}

std::unique_ptr<const PointIndex> index_of(const Pyramid& pyramid) {
  if (pyramid.lattice == Lattice::barnes_wall) return std::make_unique<BarnesWallIndex>(pyramid.pulses);
  return std::make_unique<PyramidCounts>(pyramid.dimension, pyramid.pulses);
}

Napi::Value pvq_count(Call& call) { return Napi::BigInt::New(call.env(), index_of(pyramid_of(call, 2))->count()); }

Napi::Value pvq_indices(Call& call) {
  const Pyramid pyramid = pyramid_of(call, 3);
  const std::unique_ptr<const PointIndex> index = index_of(pyramid);
  const Argument points_argument = call.argument(2, "points");
  const Span<int16_t> points = points_argument.array<int16_t>();
  const size_t dimension = pyramid.dimension, count = points.size / dimension;
  if (points.size % dimension != 0) {
    points_argument.reject_length(points.size, "a multiple of " + std::to_string(dimension) + " values");
  }
  for (size_t i = 0; i < count; ++i) {
    if (index->contains(points.data + i * dimension)) continue;
    throw Error("INVALID_ARGUMENT",
                "points: the magnitudes of point " + std::to_string(i) + " must add up to " +
                    std::to_string(pyramid.pulses) +
                    (pyramid.lattice == Lattice::barnes_wall ? " and it must be of the Barnes-Wall lattice" : ""));
  }
  auto indices = Napi::BigUint64Array::New(call.env(), count);
  for (size_t i = 0; i < count; ++i) indices.Data()[i] = index->index_of(points.data + i * dimension);
  return indices;
}

Napi::Value pvq_points(Call& call) {
  const Pyramid pyramid = pyramid_of(call, 3);
  const std::unique_ptr<const PointIndex> index = index_of(pyramid);
  const Span<uint64_t> indices = call.argument(2, "indices").array<uint64_t>();
  for (size_t i = 0; i < indices.size; ++i) {
    if (indices.data[i] < index->count()) continue;
    throw Error("INVALID_ARGUMENT", "indices must be below " + std::to_string(index->count()) + ", got " +
                                        std::to_string(indices.data[i]) + " at position " + std::to_string(i));
  }
  auto points = Napi::Int16Array::New(call.env(), checked_product(indices.size, pyramid.dimension, "indices"));
  for (size_t i = 0; i < indices.size; ++i) {
    index->point_of(indices.data[i], points.Data() + i * pyramid.dimension);
  }
  return points;
}

Napi::Value pack(Call& call) {
  const Span<uint64_t> codes = call.argument(0, "codes").array<uint64_t>();
  const int bits = static_cast<int>(call.argument(1, "bits").integer(1, 64));
  checked_product(codes.size, 64, "codes");
  for (size_t i = 0; bits < 64 && i < codes.size; ++i) {
    if (codes.data[i] >> bits == 0) continue;
    throw Error("INVALID_ARGUMENT", "codes must be below 2^" + std::to_string(bits) + ", got " +
                                        std::to_string(codes.data[i]) + " at position " + std::to_string(i));
  }
  auto bytes = Napi::Uint8Array::New(call.env(), packed_bytes(codes.size, bits));
  pack_codes(codes.data, codes.size, bits, bytes.Data());
  return bytes;
}

Napi::Value unpack(Call& call) {
  const Argument bytes_argument = call.argument(0, "bytes");
  const Span<uint8_t> bytes = bytes_argument.array<uint8_t>();
  const int bits = static_cast<int>(call.argument(1, "bits").integer(1, 64));
  const size_t count = call.argument(2, "count").integer(0, largest_count);
  if (bytes.size < packed_bytes(count, bits)) {
    bytes_argument.reject_length(bytes.size, std::to_string(packed_bytes(count, bits)) + " values or more");
  }
  auto codes = Napi::BigUint64Array::New(call.env(), count);
  unpack_codes(bytes.data, count, bits, codes.Data());
  return codes;
}

// The law of a code given by (dimension, pulses, levels, rowLength, lattice), and L.
struct LawArguments {
  Pyramid pyramid;
  size_t levels, row_length;

  explicit LawArguments(Call& call)
      : pyramid(pyramid_of(call, 4)),
        levels(call.argument(2, "levels").integer(1, ProjectionLaw::max_levels)),
        row_length(call.argument(3, "rowLength").integer(1, largest_count)) {
    // Throws when the pyramid has no such index.
    index_of(pyramid);
    if (pyramid.dimension < 2) call.argument(0, "dimension").reject("2, 4, 8, 16 or 32");
    const bool integer = pyramid.lattice == Lattice::integer;
    if (pyramid.pulses < (integer ? 1 : 8)) call.argument(1, "pulses").reject(integer ? "1 or more" : "8 or more");
  }
  ProjectionLaw law() const { return {pyramid, row_length, pvq_search_kernel().search}; }
};

Napi::Value pvq_gain_levels(Call& call) {
  const LawArguments arguments(call);
  return to_typed_array(call.env(), arguments.law().levels(arguments.levels));
}

Napi::Value pvq_expected_error(Call& call) {
  const LawArguments arguments(call);
  const ProjectionLaw law = arguments.law();
  return Napi::Number::New(call.env(), law.relative_error(law.levels(arguments.levels)));
}

Operation pvq_encode(Call& call) {
  const Argument values_argument = call.argument(0, "values");
  const size_t rows = call.argument(1, "rows").integer(1, largest_count);
  const size_t columns = call.argument(2, "columns").integer(1, largest_count);
  const Span<float> values = values_argument.array<float>(checked_product(rows, columns, "values"));
  const auto layout =
      std::make_shared<const PvqLayout>(columns, pvq_segments(call.argument(3, "segments")), shared_pyramids());
  const JobControl control = call.job_control(4);
  const bool on_gpu = call.argument(5, "onGpu").flag();
  return encoding(control, [=] {
    if (on_gpu) return cuda::encode_rows_on_device(values.data, rows, *layout, shared_pool(), control);
    return encode_rows(values.data, rows, *layout, pvq_search_kernel().find, shared_pool(), control);
  });
}

Napi::Value pvq_first_invalid_row(Call& call) {
  const StoredRows stored = stored_rows(call.argument(0, "weights"));
  const int64_t row = first_invalid_row(stored.layout, stored.codes.data, stored.rows);
  return Napi::Number::New(call.env(), static_cast<double>(row));
}

}  // namespace

void register_pvq(Napi::Object exports) {
  export_function(exports, "pvqCount", pvq_count);
  export_function(exports, "pvqIndices", pvq_indices);
  export_function(exports, "pvqPoints", pvq_points);
  export_function(exports, "packCodes", pack);
  export_function(exports, "unpackCodes", unpack);
  export_function(exports, "pvqGainLevels", pvq_gain_levels);
  export_function(exports, "pvqExpectedError", pvq_expected_error);
  export_both(exports, "pvqEncode", pvq_encode);
  export_function(exports, "pvqFirstInvalidRow", pvq_first_invalid_row);
  define_pvq_guide(exports);
}

}  // namespace pyramidion
