// A PVQ matrix of random codes, as it is stored and as the kernels take it.
#pragma once

#include <vector>

#include "../pvq/random.h"
#include "../pvq/reference_decoder.h"
#include "code_settings.h"
#include "core/matrix/half.h"
#include "core/pvq/bit_stream.h"
#include "core/pvq/pvq_code.h"
#include "cuda/layout.h"
#include "device_array.h"

// One segment. Every valid code may come up, the first and the last more often.
class StoredMatrix {
 public:
  StoredMatrix(size_t rows, size_t columns, const CodeSetting& setting, Random& random, pyramidion::PyramidCache& cache,
               pyramidion::Lattice lattice = pyramidion::Lattice::integer)
      : rows(rows),
        columns(columns),
        layout(columns, {{columns, setting.dimension, setting.pulses, some_levels(setting.levels), lattice}}, cache),
        codes(random_codes(rows, layout.codes[0], random)),
        row_scale(random_scales(rows, random)),
        values(reference_decode(layout, codes, row_scale)) {}

  size_t rows, columns;
  pyramidion::PvqLayout layout;
  std::vector<uint8_t> codes;
  std::vector<uint16_t> row_scale;
  // What the codes mean, rows x columns.
  std::vector<double> values;

 private:
  static std::vector<uint8_t> random_codes(size_t rows, const pyramidion::PvqCode& code, Random& random) {
    std::vector<uint8_t> bytes(rows * code.bytes);
    std::vector<uint64_t> row(code.groups);
    for (size_t r = 0; r < rows; ++r) {
      for (uint64_t& value : row) {
        uint64_t index = random.below(code.count());
        if (random.below(8) == 0) index = random.below(2) == 0 ? 0 : code.count() - 1;
        value = random.below(code.levels.size()) * code.count() + index;
      }
      pyramidion::pack_codes(row.data(), row.size(), code.bits, bytes.data() + r * code.bytes);
    }
    return bytes;
  }
  static std::vector<uint16_t> random_scales(size_t rows, Random& random) {
    std::vector<uint16_t> scales;
    for (size_t r = 0; r < rows; ++r) scales.push_back(pyramidion::float_to_half(random.gaussian()));
    return scales;
  }
};

// The same on the "device", as row quads.
class DeviceMatrix : public StoredMatrix {
 public:
  DeviceMatrix(size_t rows, size_t columns, const CodeSetting& setting, Random& random, pyramidion::PyramidCache& cache)
      : StoredMatrix(rows, columns, setting, random, cache),
        tables_(pyramidion::cuda::device_tables(layout.codes[0])),
        table_words_(tables_.words),
        quads_(pyramidion::cuda::row_quads(layout.codes[0], codes.data(), layout.row_bytes, rows, pool_)),
        device_scale_(row_scale) {}

  pyramidion::cuda::SegmentWeights weights() {
    const pyramidion::PvqCode& code = layout.codes[0];
    const auto base = reinterpret_cast<uint64_t>(table_words_.data());
    return {pyramidion::cuda::tables_at(tables_.tables, base),
            quads_.data(),
            device_scale_.data(),
            static_cast<uint32_t>(rows),
            static_cast<uint32_t>(columns),
            static_cast<uint32_t>(code.groups),
            pyramidion::cuda::quad_words(code.groups, code.bits)};
  }

 private:
  pyramidion::ThreadPool pool_{1};
  pyramidion::cuda::DeviceTables tables_;
  DeviceArray<uint64_t> table_words_;
  DeviceArray<uint32_t> quads_;
  DeviceArray<uint16_t> device_scale_;
};
