// Launching a kernel by its name, in the shape that launch.h gives it.
#pragma once

#include <string>

#include "cuda/driver/context.h"
#include "cuda/driver/stream.h"
#include "cuda/launch.h"

namespace pyramidion::cuda {

// The kernel `name` of native/cuda/kernels/<family>.cu. The context must be current.
template <class Parameters>
void launch(const Context& context, Stream& stream, const char* family, const std::string& name, const Shape& shape,
            const Parameters& parameters) {
  stream.launch(context.function(family, name, shape.dynamic_shared), {shape.grid_x, shape.grid_y, shape.grid_z},
                {shape.threads, 1, 1}, shape.dynamic_shared, parameters);
}

}  // namespace pyramidion::cuda
