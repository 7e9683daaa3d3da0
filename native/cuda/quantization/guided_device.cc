#include "cuda/quantization/guided_device.h"

#include <algorithm>
#include <string>

#include "cuda/driver/memory.h"
#include "cuda/launch_kernel.h"
#include "cuda/layout.h"

namespace pyramidion::cuda {
namespace {

using HostGroup = ::pyramidion::GuidedGroup;
using HostRows = ::pyramidion::GuidedRows;

// Columns of the groups between two products: enough for those to read their accumulators seldom.
constexpr uint32_t kBlockColumns = 128;

// Rows of a band are a multiple of a block of threads, where there are so many.
size_t band_rows(size_t rows, size_t threads) {
  const size_t share = (rows + threads - 1) / threads;
  return std::min(rows, (share + kGuidedThreads - 1) / kGuidedThreads * kGuidedThreads);
}

// rows x columns to columns x rows, in tiles that stay in the caches; rows as far apart as given.
void transpose(const float* from, size_t from_stride, size_t rows, size_t columns, float* to, size_t to_stride) {
  constexpr size_t tile = 32;
  for (size_t row = 0; row < rows; row += tile) {
    for (size_t column = 0; column < columns; column += tile) {
      for (size_t c = column; c < std::min(columns, column + tile); ++c) {
        for (size_t r = row; r < std::min(rows, row + tile); ++r) to[c * to_stride + r] = from[r * from_stride + c];
      }
    }
  }
}

// Whether no group is coupled to columns other than its own.
bool alone(const std::vector<HostGroup>& groups) {
  return std::all_of(groups.begin(), groups.end(), [](const HostGroup& group) {
    return group.coupled_columns <= static_cast<size_t>(group.pyramid.dimension);
  });
}

void reserve(const Context& context, DeviceBuffer& buffer, size_t bytes) {
  if (bytes <= buffer.bytes()) return;
  buffer = DeviceBuffer();
  buffer = DeviceBuffer(context, bytes);
}

}  // namespace

// What groups are priced and coupled with, on the device.
struct GuidedDevice::Groups {
  // Groups first .. last - 1, all of one dimension.
  struct Block {
    int dimension;
    uint32_t first, last, first_column, last_column;
  };

  uint32_t columns = 0;
  DeviceBuffer groups, values, coupling;
  std::vector<Block> blocks;
  // Whether changes reach other columns at all, and columns before.
  bool coupled = false, backward = false;
};

// What one sweep computes with.
struct GuidedDevice::Workspace {
  explicit Workspace(const Context& context) : stream(context) {}

  Stream stream;
  DeviceBuffer targets, differences, accumulators, changes, scales, points, levels;
  std::vector<float> transposed;
};

class GuidedDevice::Borrowed {
 public:
  explicit Borrowed(GuidedDevice& device) : device_(device) {
    {
      const std::lock_guard<std::mutex> lock(device.mutex_);
      if (!device.idle_.empty()) {
        workspace_ = std::move(device.idle_.back());
        device.idle_.pop_back();
      }
    }
    if (!workspace_) workspace_ = std::make_unique<Workspace>(device.context_);
  }
  ~Borrowed() {
    const std::lock_guard<std::mutex> lock(device_.mutex_);
    device_.idle_.push_back(std::move(workspace_));
  }
  Workspace* operator->() const { return workspace_.get(); }

 private:
  GuidedDevice& device_;
  std::unique_ptr<Workspace> workspace_;
};

class GuidedDevice::Sweeps : public GuidedSweeps {
 public:
  Sweeps(GuidedDevice& device, size_t lanes, const JobControl& control)
      : device_(device), lanes_(lanes), control_(control) {}

  size_t lanes() const override { return lanes_; }
  void sweep(const std::vector<HostGroup>& groups, int moves, bool start, const HostRows& rows) const override {
    control_.check();
    device_.sweep(lanes_, groups, moves, start, rows);
  }
  void accumulate(const std::vector<HostGroup>& groups, const float* changes, size_t rows, size_t columns,
                  size_t stride, float* accumulators) const override {
    device_.accumulate(groups, changes, rows, columns, stride, accumulators);
  }

 private:
  GuidedDevice& device_;
  size_t lanes_;
  JobControl control_;
};

GuidedDevice::GuidedDevice(const PvqLayout& layout) : context_(Context::shared()) { check_kernels(layout); }

GuidedDevice::~GuidedDevice() = default;

std::unique_ptr<GuidedSweeps> GuidedDevice::sweeps(size_t rows, size_t threads, const JobControl& control) {
  return std::make_unique<Sweeps>(*this, band_rows(rows, threads), control);
}

const GuidedDevice::Groups& GuidedDevice::uploaded(const std::vector<HostGroup>& groups, size_t columns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<Groups>& kept = groups_[groups.data()];
  if (kept) return *kept;
  auto made = std::make_unique<Groups>();
  made->columns = static_cast<uint32_t>(columns);
  made->backward = groups.back().first_coupled == 0;
  std::vector<float> values, coupling(columns * columns);
  for (const HostGroup& group : groups) {
    const size_t d = group.pyramid.dimension;
    values.insert(values.end(), group.metric, group.metric + d * d);
    values.insert(values.end(), group.inverse, group.inverse + d * d);
    values.insert(values.end(), group.levels, group.levels + group.level_count);
  }
  made->values = DeviceBuffer(context_, values.size() * sizeof(float));
  std::vector<GuidedGroup> placed;
  const float* place = made->values.as<const float>();
  uint32_t column = 0;
  for (const HostGroup& group : groups) {
    const auto d = static_cast<uint32_t>(group.pyramid.dimension), number = static_cast<uint32_t>(placed.size());
    const auto level_count = static_cast<uint32_t>(group.level_count);
    placed.push_back(
        {column, static_cast<uint32_t>(group.pyramid.pulses), level_count, place + 2 * d * d, place, place + d * d});
    place += 2 * d * d + level_count;
    for (size_t to = group.first_coupled; to < group.first_coupled + group.coupled_columns; ++to) {
      const float* from = coupling_to(group, to);
      for (size_t i = 0; i < d; ++i) coupling[(column + i) * columns + to] = from[i * coupling_panel];
    }
    made->coupled |= group.coupled_columns > 0;
    std::vector<Groups::Block>& blocks = made->blocks;
    if (blocks.empty() || blocks.back().dimension != group.pyramid.dimension ||
        column + d - blocks.back().first_column > kBlockColumns) {
      blocks.push_back({group.pyramid.dimension, number, number, column, column});
    }
    blocks.back().last = number + 1;
    blocks.back().last_column = column += d;
  }
  made->groups = DeviceBuffer(context_, placed.size() * sizeof(GuidedGroup));
  made->coupling = DeviceBuffer(context_, coupling.size() * sizeof(float));
  Stream stream(context_);
  stream.upload(made->groups, placed.data(), made->groups.bytes());
  stream.upload(made->values, values.data(), made->values.bytes());
  stream.upload(made->coupling, coupling.data(), made->coupling.bytes());
  stream.synchronize();
  kept = std::move(made);
  return *kept;
}

void GuidedDevice::sweep(size_t lanes, const std::vector<HostGroup>& groups, int moves, bool start,
                         const HostRows& rows) {
  const Context::Current current(context_);
  const Groups& own = uploaded(groups, rows.columns);
  const Borrowed work(*this);
  const size_t values = rows.columns * lanes, floats = values * sizeof(float);
  for (DeviceBuffer* buffer : {&work->targets, &work->differences, &work->accumulators, &work->changes}) {
    reserve(context_, *buffer, floats);
  }
  reserve(context_, work->scales, lanes * sizeof(float));
  reserve(context_, work->points, values * sizeof(int16_t));
  reserve(context_, work->levels, groups.size() * lanes * sizeof(uint16_t));
  work->transposed.resize(values);
  const auto count = static_cast<uint32_t>(lanes);
  for (size_t row = 0; row < rows.count; row += lanes) {
    const size_t first = row * rows.columns, first_level = row * groups.size();
    float* accumulators = rows.accumulators + row * rows.stride;
    transpose(accumulators, rows.stride, lanes, rows.columns, work->transposed.data(), lanes);
    Stream& stream = work->stream;
    stream.upload(work->targets, rows.targets + first, floats);
    stream.upload(work->differences, rows.differences + first, floats);
    stream.upload(work->accumulators, work->transposed.data(), floats);
    stream.upload(work->scales, rows.scales + row, lanes * sizeof(float));
    stream.upload(work->points, rows.points + first, values * sizeof(int16_t));
    stream.upload(work->levels, rows.levels + first_level, groups.size() * lanes * sizeof(uint16_t));

    const GuidedRows state{work->targets.as<const float>(),
                           work->differences.as<float>(),
                           work->accumulators.as<float>(),
                           work->scales.as<float>(),
                           work->points.as<int16_t>(),
                           work->levels.as<uint16_t>(),
                           count};
    for (const Groups::Block& block : own.blocks) {
      const uint32_t block_columns = block.last_column - block.first_column;
      launch(context_, stream, "guided_rounding", "guided_round_d" + std::to_string(block.dimension),
             guided_round_shape(count),
             GuidedRoundParameters{own.groups.as<const GuidedGroup>(), state, own.coupling.as<const float>(),
                                   work->changes.as<float>(), own.columns, block.first, block.last, block.first_column,
                                   block.last_column, static_cast<uint32_t>(moves), start ? 1u : 0u,
                                   own.backward ? 1u : 0u});
      const uint32_t skip_first = own.backward ? block.first_column : 0;
      const uint32_t skip_count = own.backward ? block_columns : block.last_column;
      if (!own.coupled || skip_count == own.columns) continue;
      launch(context_, stream, "guided_rounding", "guided_couple", guided_couple_shape(count, own.columns - skip_count),
             GuidedCoupleParameters{work->changes.as<const float>(), own.coupling.as<const float>(),
                                    work->accumulators.as<float>(), count, own.columns, block.first_column,
                                    block_columns, skip_first, skip_count});
    }

    stream.download(rows.differences + first, work->differences, floats);
    stream.download(work->transposed.data(), work->accumulators, floats);
    stream.download(rows.points + first, work->points, values * sizeof(int16_t));
    stream.download(rows.levels + first_level, work->levels, groups.size() * lanes * sizeof(uint16_t));
    stream.synchronize();
    transpose(work->transposed.data(), lanes, rows.columns, lanes, accumulators, rows.stride);
  }
}

void GuidedDevice::accumulate(const std::vector<HostGroup>& groups, const float* changes, size_t rows, size_t columns,
                              size_t stride, float* accumulators) {
  // So little that the way there and back would take longer.
  if (alone(groups)) {
    const GuidedKernel& kernel = guided_kernel();
    kernel.accumulate(groups.data(), groups.size(), changes, rows, columns, stride, accumulators);
    return;
  }
  const Context::Current current(context_);
  const Groups& own = uploaded(groups, columns);
  const Borrowed work(*this);
  const size_t bytes = rows * columns * sizeof(float);
  reserve(context_, work->changes, bytes);
  reserve(context_, work->accumulators, bytes);
  work->transposed.resize(rows * columns);
  float* transposed = work->transposed.data();
  transpose(changes, stride, rows, columns, transposed, rows);
  work->stream.upload(work->changes, transposed, bytes);
  work->stream.synchronize();
  transpose(accumulators, stride, rows, columns, transposed, rows);
  work->stream.upload(work->accumulators, transposed, bytes);
  const auto count = static_cast<uint32_t>(rows);
  launch(context_, work->stream, "guided_rounding", "guided_couple", guided_couple_shape(count, own.columns),
         GuidedCoupleParameters{work->changes.as<const float>(), own.coupling.as<const float>(),
                                work->accumulators.as<float>(), count, own.columns, 0, own.columns, 0, 0});
  work->stream.download(transposed, work->accumulators, bytes);
  work->stream.synchronize();
  transpose(transposed, rows, columns, rows, accumulators, stride);
}

}  // namespace pyramidion::cuda
