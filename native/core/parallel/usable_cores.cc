#include "core/parallel/usable_cores.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#ifdef __linux__
#include <sched.h>
#endif

namespace pyramidion {
namespace {

// Processors' worth of time the cgroup grants, or infinity. Version 2 has "quota period" in one file, version 1 two
// files; "max" or a negative quota means no limit.
double quota() {
  std::ifstream unified("/sys/fs/cgroup/cpu.max");
  double allowed = 0, period = 0;
  if (unified >> allowed >> period && period > 0) return allowed / period;
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (quota_file >> allowed && period_file >> period && allowed > 0 && period > 0) return allowed / period;
  return std::numeric_limits<double>::infinity();
}

}  // namespace

size_t usable_cores() {
  size_t cores = std::max(1u, std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cores = std::max(1, CPU_COUNT(&set));
#endif
  const double limit = std::ceil(quota());
  return limit < static_cast<double>(cores) ? std::max<size_t>(1, static_cast<size_t>(limit)) : cores;
}

}  // namespace pyramidion
