// Time that work takes on the device, between two events of its stream.
#pragma once

#include <algorithm>
#include <vector>

#include "cuda/driver/stream.h"

namespace bench {

// Median over five runs, in microseconds, of one of `count` calls of enqueue(i). The context must be current.
template <class Enqueue>
double microseconds(pyramidion::cuda::Stream& stream, size_t count, Enqueue enqueue) {
  using namespace pyramidion::cuda;
  const DriverApi& api = driver_api();
  CUevent start = nullptr, end = nullptr;
  check("cuEventCreate", api.cuEventCreate(&start, 0));
  check("cuEventCreate", api.cuEventCreate(&end, 0));
  enqueue(0);
  std::vector<float> times;
  for (int run = 0; run < 5; ++run) {
    check("cuEventRecord", api.cuEventRecord(start, stream.handle()));
    for (size_t i = 0; i < count; ++i) enqueue(i);
    check("cuEventRecord", api.cuEventRecord(end, stream.handle()));
    stream.synchronize();
    float milliseconds = 0;
    check("cuEventElapsedTime", api.cuEventElapsedTime(&milliseconds, start, end));
    times.push_back(milliseconds);
  }
  api.cuEventDestroy_v2(start);
  api.cuEventDestroy_v2(end);
  std::sort(times.begin(), times.end());
  return 1000.0 * times[2] / static_cast<double>(count);
}

}  // namespace bench
