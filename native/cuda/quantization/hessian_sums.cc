#include "cuda/quantization/hessian_sums.h"

#include <algorithm>

#include "cuda/launch_kernel.h"

namespace pyramidion::cuda {
namespace {

// A stream is made while the context is current.
Stream stream_of(const Context& context) {
  const Context::Current current(context);
  return Stream(context);
}

}  // namespace

HessianSums::HessianSums(size_t width, size_t tile)
    : context_(Context::shared()),
      width_(width),
      stream_(stream_of(context_)),
      host_tile_(context_, tile * (width + 1) * sizeof(float)),
      tile_(context_, host_tile_.bytes()),
      sums_(context_, width * width * sizeof(double)) {
  const Context::Current current(context_);
  stream_.clear(sums_);
  stream_.synchronize();
}

HessianSums::~HessianSums() {
  try {
    // What is under way writes to what goes now.
    const Context::Current current(context_);
    stream_.synchronize();
  } catch (const Error&) {
    // A device that failed writes no more.
  }
}

void HessianSums::add(const float* x, const float* weights, size_t count) {
  const Context::Current current(context_);
  // The tile before this one has left the host's side.
  stream_.synchronize();
  float* tile = host_tile_.as<float>();
  float* end = std::copy_n(x, count * width_, tile);
  if (weights != nullptr) end = std::copy_n(weights, count, end);
  stream_.upload(tile_, tile, static_cast<size_t>(end - tile) * sizeof(float));
  HessianParameters parameters{};
  parameters.x = tile_.as<const float>();
  if (weights != nullptr) parameters.weights = parameters.x + count * width_;
  parameters.sums = sums_.as<double>();
  parameters.tokens = static_cast<uint32_t>(count);
  parameters.width = static_cast<uint32_t>(width_);
  launch(context_, stream_, "hessian", "hessian_add", hessian_shape(parameters.width), parameters);
}

void HessianSums::read(double* sums) {
  const Context::Current current(context_);
  stream_.download(sums, sums_, sums_.bytes());
  stream_.synchronize();
}

}  // namespace pyramidion::cuda
