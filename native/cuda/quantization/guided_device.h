// Calibrated rounding under one Hessian on a GPU: the sweeps of core/calibrated/guided_sweeps.h. What groups are priced
// and coupled with is uploaded once; rows are copied there and back for every sweep, so that all else of rounding is
// the processor's own.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/calibrated/guided_sweeps.h"
#include "core/parallel/job_control.h"
#include "core/pvq/pvq_code.h"
#include "cuda/driver/context.h"
#include "cuda/launch.h"

namespace pyramidion::cuda {

class GuidedDevice {
 public:
  // Throws UNSUPPORTED_FORMAT for codes that no kernel knows, DEVICE_UNAVAILABLE, DEVICE_ERROR, OUT_OF_MEMORY.
  explicit GuidedDevice(const PvqLayout& layout);
  ~GuidedDevice();

  // Sweeps of one GuidedPlan of that layout, which must outlive them as this does, for bands of `rows` rows over
  // `threads` threads. They throw DEVICE_ERROR and OUT_OF_MEMORY, and ABORTED when control asks for it.
  std::unique_ptr<GuidedSweeps> sweeps(size_t rows, size_t threads, const JobControl& control);

 private:
  class Sweeps;
  struct Groups;
  struct Workspace;
  class Borrowed;

  const Groups& uploaded(const std::vector<::pyramidion::GuidedGroup>& groups, size_t columns);
  void sweep(size_t lanes, const std::vector<::pyramidion::GuidedGroup>& groups, int moves, bool start,
             const ::pyramidion::GuidedRows& rows);
  void accumulate(const std::vector<::pyramidion::GuidedGroup>& groups, const float* changes, size_t rows,
                  size_t columns, size_t stride, float* accumulators);

  const Context& context_;
  std::mutex mutex_;
  // By the plan's own groups.
  std::map<const void*, std::unique_ptr<Groups>> groups_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace pyramidion::cuda
