#include "cuda/quantization/row_encoder.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "cuda/driver/memory.h"
#include "cuda/launch_kernel.h"
#include "cuda/layout.h"

namespace pyramidion::cuda {
namespace {

// Weights that are coded together: enough threads for a device, 16 MB of page-locked memory. And the most rows that a
// launch takes.
constexpr size_t kChunkWeights = size_t{1} << 22, kMostRows = 65535;

// The buffers and launches for chunks of up to `rows` rows.
class RowEncoder {
 public:
  RowEncoder(const Context& context, const PvqLayout& layout, size_t rows)
      : context_(context),
        layout_(layout),
        stream_(context),
        host_values_(context, rows * layout.columns * sizeof(float)),
        host_codes_(context, rows * layout.row_bytes),
        host_scales_(context, rows * sizeof(uint16_t)),
        values_(context, host_values_.bytes()),
        norms_(context, rows * sizeof(double)),
        scales_(context, host_scales_.bytes()),
        codes_(context, host_codes_.bytes()) {
    uint32_t column = 0, byte = 0;
    for (const PvqCode& code : layout.codes) {
      const DeviceTables tables = device_tables(code);
      memory_.emplace_back(context, tables.words.size() * sizeof(uint64_t));
      stream_.upload(memory_.back(), tables.words.data(), memory_.back().bytes());
      stream_.synchronize();
      EncodeSegment segment{};
      segment.tables = tables_at(tables.tables, memory_.back().address());
      segment.first_column = column;
      segment.columns = static_cast<uint32_t>(code.columns);
      segment.groups = static_cast<uint32_t>(code.groups);
      segment.first_byte = byte;
      memory_.emplace_back(context, rows * code.groups * static_cast<size_t>(code.dimension) * sizeof(int16_t));
      segment.points = memory_.back().as<int16_t>();
      memory_.emplace_back(context, rows * code.groups * sizeof(double));
      segment.projections = memory_.back().as<double>();
      segments_.push_back(segment);
      column += segment.columns;
      byte += static_cast<uint32_t>(code.bytes);
    }
  }

  void encode(const float* values, size_t rows, ThreadPool& pool, uint8_t* codes, uint16_t* row_scale) {
    float* copy = host_values_.as<float>();
    std::copy_n(values, rows * layout_.columns, copy);
    // JavaScript may write to the original meanwhile; what is checked here is what is encoded.
    check_row_values(copy, rows, layout_.columns, pool);
    stream_.upload(values_, copy, rows * layout_.columns * sizeof(float));
    enqueue(static_cast<uint32_t>(rows));
    stream_.download(host_codes_.as<uint8_t>(), codes_, rows * layout_.row_bytes);
    stream_.download(host_scales_.as<uint16_t>(), scales_, rows * sizeof(uint16_t));
    stream_.synchronize();
    std::copy_n(host_codes_.as<uint8_t>(), rows * layout_.row_bytes, codes);
    std::copy_n(host_scales_.as<uint16_t>(), rows, row_scale);
  }

 private:
  void enqueue(uint32_t rows) {
    const auto columns = static_cast<uint32_t>(layout_.columns);
    const auto* values = values_.as<const float>();
    run("encode_norms", encode_norms_shape(rows), EncodeNormsParameters{values, norms_.as<double>(), rows, columns});
    for (const EncodeSegment& segment : segments_) {
      run(of_dimension("encode_points", segment), encode_points_shape(rows, segment.groups),
          EncodePointsParameters{values, norms_.as<const double>(), segment, columns});
    }
    EncodeScalesParameters scales{norms_.as<const double>(), scales_.as<uint16_t>(), rows, 0, {}};
    for (const EncodeSegment& segment : segments_) scales.segments[scales.segment_count++] = segment;
    run("encode_scales", encode_scales_shape(rows), scales);
    for (const EncodeSegment& segment : segments_) {
      run(of_dimension("encode_codes", segment), encode_codes_shape(rows, segment.groups),
          EncodeCodesParameters{segment, scales_.as<const uint16_t>(), codes_.as<uint8_t>(), layout_.row_bytes});
    }
  }

  static std::string of_dimension(const char* kernel, const EncodeSegment& segment) {
    return std::string(kernel) + "_d" + std::to_string(segment.tables.dimension);
  }

  template <class Parameters>
  void run(const std::string& name, const Shape& shape, const Parameters& parameters) {
    launch(context_, stream_, "encode_rows", name, shape, parameters);
  }

  const Context& context_;
  const PvqLayout& layout_;
  Stream stream_;
  PinnedBuffer host_values_, host_codes_, host_scales_;
  DeviceBuffer values_, norms_, scales_, codes_;
  // Of the segments: tables, points and projections.
  std::vector<DeviceBuffer> memory_;
  std::vector<EncodeSegment> segments_;
};

}  // namespace

PvqRows encode_rows_on_device(const float* values, size_t rows, const PvqLayout& layout, ThreadPool& pool,
                              const JobControl& control) {
  check_kernels(layout);
  if (layout.codes.size() > kEncodeSegments) {
    throw Error("UNSUPPORTED_FORMAT", "the CUDA kernels code rows of at most " + std::to_string(kEncodeSegments) +
                                          " segments, not " + std::to_string(layout.codes.size()));
  }
  check_row_values(values, rows, layout.columns, pool);
  const Context& context = Context::shared();
  const Context::Current current(context);
  const size_t chunk = std::min(rows, std::clamp<size_t>(kChunkWeights / layout.columns, 1, kMostRows));
  RowEncoder encoder(context, layout, chunk);
  PvqRows result{std::vector<uint8_t>(rows * layout.row_bytes), std::vector<uint16_t>(rows)};
  for (size_t first = 0; first < rows; first += chunk) {
    control.check();
    const size_t count = std::min(chunk, rows - first);
    encoder.encode(values + first * layout.columns, count, pool, result.codes.data() + first * layout.row_bytes,
                   result.row_scale.data() + first);
    control.advance(static_cast<int32_t>(count));
  }
  return result;
}

}  // namespace pyramidion::cuda
