// How long a layer's product takes on this machine.
#pragma once

#include "core/linear/linear.h"

namespace pyramidion {

// Seconds that a product with so many tokens takes when everything is in the caches that will go there: the least of
// several. tokens: at least 1.
double least_seconds(const Linear& layer, size_t tokens, ThreadPool& pool);

}  // namespace pyramidion
