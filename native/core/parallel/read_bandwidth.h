// How fast the machine's memory can be read.
#pragma once

#include "core/parallel/thread_pool.h"

namespace pyramidion {

// Bytes a second that all threads of the pool together read from memory larger than the caches, the best of a few
// turns. Takes a tenth of a second or so, and 64 to 256 MiB while it runs.
double read_bandwidth(ThreadPool& pool);

}  // namespace pyramidion
