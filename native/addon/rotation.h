// Rotations and linear layers as JavaScript holds them, for the bindings that take one.
#pragma once

#include <memory>

#include "addon/arguments.h"
#include "core/linear/linear.h"

namespace pyramidion {

// Of a Rotation object; rejects anything else.
std::shared_ptr<const Rotation> rotation_of(const Argument& argument);

// Of a Linear object.
std::shared_ptr<const Linear> linear_of(const Argument& argument);

}  // namespace pyramidion
