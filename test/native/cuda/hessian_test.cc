#include "cuda/kernels/hessian.cu"

#include <doctest/doctest.h>

#include <cmath>

#include "../pvq/random.h"
#include "code_settings.h"
#include "core/linalg/hessian.h"
#include "cpu/instruction_set.h"
#include "device_array.h"

using namespace pyramidion;

TEST_CASE("cuda hessian: the CPU's moments bit for bit, with and without weights, and nothing above the diagonal") {
  const uint64_t seed = 51;
  INFO("seed ", seed);
  Random random(seed);
  ThreadPool pool(1);
  struct Setting {
    uint32_t width, tokens;
  };
  for (const Setting& setting : cases<Setting>({{70, 20}, {1, 1}, {5, 300}, {64, 256}, {130, 17}, {200, 521}})) {
    for (bool weighted : {false, true}) {
      const auto [width, tokens] = setting;
      INFO("width ", width, " tokens ", tokens, " weighted ", weighted);
      const std::vector<float> x = random.gaussians(size_t{tokens} * width);
      std::vector<float> weights;
      for (uint32_t t = 0; t < tokens; ++t) weights.push_back(static_cast<float>(random.uniform()));
      DeviceArray<float> device_x(x), device_weights(weights);
      DeviceArray<double> sums(std::vector<double>(size_t{width} * width, 0));
      const cuda::Shape shape = cuda::hessian_shape(width);
      // A launch adds to what the one before left.
      const uint32_t first = tokens < Hessian::tile ? tokens : Hessian::tile;
      for (const auto& [begin, end] : {std::pair{0u, first}, std::pair{first, tokens}}) {
        if (begin == end) continue;
        const cuda::HessianParameters parameters{device_x.data() + size_t{begin} * width,
                                                 weighted ? device_weights.data() + begin : nullptr, sums.data(),
                                                 end - begin, width};
        simt::run(cuda::hessian_add, dim3(shape.grid_x), dim3(shape.threads), shape.dynamic_shared, parameters);
      }
      Hessian hessian(width);
      hessian.add(x.data(), weighted ? weights.data() : nullptr, tokens, pool);
      const std::vector<double> mean = hessian.mean(pool), found = sums.values();
      for (uint32_t i = 0; i < width; ++i) {
        for (uint32_t j = 0; j < width; ++j) {
          const double expected = j <= i ? mean[i * width + j] : 0, value = found[i * width + j] / tokens;
          if (instruction_set() == InstructionSet::portable) {
            // Products and sums are rounded one by one there.
            REQUIRE(std::fabs(value - expected) <= 2e-6 * std::sqrt(mean[i * width + i] * mean[j * width + j]));
          } else {
            REQUIRE(value == expected);
          }
        }
      }
    }
  }
}
