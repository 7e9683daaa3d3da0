// What calibrated rounding is made of, wherever it is computed: sweeps over groups and sums of what changes contribute.
// Both are those of GuidedKernel (cpu/guided_rounding/dispatch.h), bit for bit.
#pragma once

#include "cpu/guided_rounding/dispatch.h"

namespace pyramidion {

// All methods may be called from several threads at once.
class GuidedSweeps {
 public:
  virtual ~GuidedSweeps() = default;
  // Rows of a vector, as GuidedRows has them.
  virtual size_t lanes() const = 0;
  virtual void sweep(const std::vector<GuidedGroup>& groups, int moves, bool start, const GuidedRows& rows) const = 0;
  virtual void accumulate(const std::vector<GuidedGroup>& groups, const float* changes, size_t rows, size_t columns,
                          size_t stride, float* accumulators) const = 0;
};

// By a kernel of the processor.
class KernelSweeps : public GuidedSweeps {
 public:
  explicit KernelSweeps(const GuidedKernel& kernel) : kernel_(kernel) {}

  size_t lanes() const override { return kernel_.lanes; }
  void sweep(const std::vector<GuidedGroup>& groups, int moves, bool start, const GuidedRows& rows) const override {
    kernel_.sweep(groups.data(), groups.size(), moves, start, rows);
  }
  void accumulate(const std::vector<GuidedGroup>& groups, const float* changes, size_t rows, size_t columns,
                  size_t stride, float* accumulators) const override {
    kernel_.accumulate(groups.data(), groups.size(), changes, rows, columns, stride, accumulators);
  }

 private:
  const GuidedKernel& kernel_;
};

}  // namespace pyramidion
