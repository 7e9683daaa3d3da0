// Products on a device as JavaScript holds them: opaque, made by cudaProductAsync and given to Linear.
#pragma once

#include <memory>

#include "addon/arguments.h"
#include "core/linear/device_product.h"

namespace pyramidion {

// Rejects what cudaProductAsync did not make.
std::shared_ptr<const DeviceProduct> device_product(const Argument& argument);

}  // namespace pyramidion
