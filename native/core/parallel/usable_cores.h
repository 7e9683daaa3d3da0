// How many processors this process may really use.
#pragma once

#include <cstddef>

namespace pyramidion {

// Processors in the scheduler's affinity mask, capped by the cgroup's CPU quota (containers); at least 1.
size_t usable_cores();

}  // namespace pyramidion
