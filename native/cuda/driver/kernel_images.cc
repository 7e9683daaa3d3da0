#include "cuda/driver/kernel_images.h"

namespace pyramidion::cuda {

// PYRAMIDION_KERNEL_IMAGES is a header that the build writes: one PYRAMIDION_KERNEL_IMAGE(family, "file") for each
// fatbin. It sets PYRAMIDION_CUDA_MAJOR too, the major version of the nvcc that made them.
#ifdef PYRAMIDION_KERNEL_IMAGES

#define PYRAMIDION_KERNEL_IMAGE(family, file)                                                       \
  __asm__(".pushsection .rodata,\"a\"\n.balign 64\npyramidion_fatbin_" #family ":\n.incbin \"" file \
          "\"\n"                                                                                    \
          ".balign 8\n.quad 0\n.popsection");                                                       \
  extern "C" __attribute__((visibility("hidden"))) const unsigned char pyramidion_fatbin_##family[];
#include PYRAMIDION_KERNEL_IMAGES
#undef PYRAMIDION_KERNEL_IMAGE

const std::vector<KernelImage>& kernel_images() {
#define PYRAMIDION_KERNEL_IMAGE(family, file) {#family, pyramidion_fatbin_##family},
  static const std::vector<KernelImage>& images = *new std::vector<KernelImage>{
#include PYRAMIDION_KERNEL_IMAGES
  };
#undef PYRAMIDION_KERNEL_IMAGE
  return images;
}

int required_driver_version() { return PYRAMIDION_CUDA_MAJOR * 1000; }

#else

const std::vector<KernelImage>& kernel_images() {
  static const std::vector<KernelImage> none;
  return none;
}

int required_driver_version() { return 0; }

#endif

}  // namespace pyramidion::cuda
