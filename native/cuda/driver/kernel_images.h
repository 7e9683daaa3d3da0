// The compiled kernels inside this addon: one fatbin (machine code of each target, and PTX for later ones) for each
// file of native/cuda/kernels, embedded at build time where nvcc was found.
#pragma once

#include <vector>

namespace pyramidion::cuda {

struct KernelImage {
  // The file's name without its ending.
  const char* family;
  const unsigned char* fatbin;
};

// None where the addon was built without nvcc.
const std::vector<KernelImage>& kernel_images();

// The least driver version (1000 * major + 10 * minor) that loads them: releases of one major number are compatible.
int required_driver_version();

}  // namespace pyramidion::cuda
