#include "cuda/kernels/encode_rows.cu"

#include <doctest/doctest.h>

#include "../pvq/random.h"
#include "code_settings.h"
#include "core/pvq/pyramid_search.h"
#include "core/pvq/row_encoder.h"
#include "cuda/layout.h"
#include "device_array.h"

using namespace pyramidion;

namespace {

template <class Parameters>
void run(void (*kernel)(Parameters), const cuda::Shape& shape, const Parameters& parameters) {
  simt::run(kernel, dim3(shape.grid_x, shape.grid_y), dim3(shape.threads), shape.dynamic_shared, parameters);
}

// A segment's tables and scratch memory.
struct Segment {
  Segment(const PvqCode& code, size_t rows)
      : tables(cuda::device_tables(code)),
        words(tables.words),
        points(rows * code.groups * code.dimension),
        projections(rows * code.groups) {}

  cuda::DeviceTables tables;
  DeviceArray<uint64_t> words;
  DeviceArray<int16_t> points;
  DeviceArray<double> projections;
};

PvqRows encode_on_device(const std::vector<float>& values, size_t rows, const PvqLayout& layout) {
  const auto row_count = static_cast<uint32_t>(rows), columns = static_cast<uint32_t>(layout.columns);
  DeviceArray<float> device_values(values);
  DeviceArray<double> norms(rows);
  DeviceArray<uint16_t> row_scale(rows);
  DeviceArray<uint8_t> codes(rows * layout.row_bytes);
  run(cuda::encode_norms, cuda::encode_norms_shape(row_count),
      cuda::EncodeNormsParameters{device_values.data(), norms.data(), row_count, columns});
  cuda::EncodeScalesParameters scales{norms.data(), row_scale.data(), row_count, 0, {}};
  std::vector<std::unique_ptr<Segment>> segments;
  uint32_t first_column = 0, first_byte = 0;
  for (const PvqCode& code : layout.codes) {
    segments.push_back(std::make_unique<Segment>(code, rows));
    Segment& own = *segments.back();
    const cuda::EncodeSegment segment{cuda::tables_at(own.tables.tables, reinterpret_cast<uint64_t>(own.words.data())),
                                      first_column,
                                      static_cast<uint32_t>(code.columns),
                                      static_cast<uint32_t>(code.groups),
                                      first_byte,
                                      own.points.data(),
                                      own.projections.data()};
    scales.segments[scales.segment_count++] = segment;
    first_column += segment.columns;
    first_byte += static_cast<uint32_t>(code.bytes);
    run(code.dimension == 8 ? cuda::encode_points_d8 : cuda::encode_points_d16,
        cuda::encode_points_shape(row_count, segment.groups),
        cuda::EncodePointsParameters{device_values.data(), norms.data(), segment, columns});
  }
  run(cuda::encode_scales, cuda::encode_scales_shape(row_count), scales);
  for (uint32_t s = 0; s < scales.segment_count; ++s) {
    const cuda::EncodeSegment& segment = scales.segments[s];
    run(layout.codes[s].dimension == 8 ? cuda::encode_codes_d8 : cuda::encode_codes_d16,
        cuda::encode_codes_shape(row_count, segment.groups),
        cuda::EncodeCodesParameters{segment, row_scale.data(), codes.data(), layout.row_bytes});
  }
  return {codes.values(), row_scale.values()};
}

void check_rows(const PvqLayout& layout, size_t rows, Random& random) {
  std::vector<float> values = random.gaussians(rows * layout.columns);
  // Rows of zeros, of one value, and of small and large numbers.
  if (rows > 1) std::fill_n(values.begin() + layout.columns, layout.columns, 0.0f);
  if (rows > 2) std::fill_n(values.begin() + 2 * layout.columns, layout.columns, -3.0f);
  for (size_t i = 3 * layout.columns; i < values.size(); ++i) values[i] *= i % 2 == 0 ? 1e3f : 1e-6f;
  ThreadPool pool(1);
  const PvqRows expected = encode_rows(values.data(), rows, layout, find_points, pool, JobControl());
  const PvqRows found = encode_on_device(values, rows, layout);
  REQUIRE(found.row_scale == expected.row_scale);
  REQUIRE(found.codes == expected.codes);
}

}  // namespace

TEST_CASE("cuda encode_rows: the CPU encoder's bytes, for every kind of code and shape") {
  const uint64_t seed = 31;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  for (const CodeSetting& setting : code_settings()) {
    for (size_t columns : cases<size_t>({100, 5, 16, 260})) {
      INFO("D ", setting.dimension, " K ", setting.pulses, " L ", setting.levels, " columns ", columns);
      const PvqLayout layout(columns, {{columns, setting.dimension, setting.pulses, some_levels(setting.levels)}},
                             cache);
      check_rows(layout, 1 + random.below(5), random);
    }
  }
}

TEST_CASE("cuda encode_rows: rows of two segments share a scale") {
  const uint64_t seed = 32;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  check_rows(PvqLayout(150, {{80, 16, 24, some_levels(7)}, {70, 16, 25, some_levels(5)}}, cache), 5, random);
  check_rows(PvqLayout(45, {{24, 8, 7, some_levels(3)}, {21, 16, 11, some_levels(2)}}, cache), 4, random);
}
