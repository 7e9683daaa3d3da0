// The fused layers on a GPU: every product is compared with the processor's, then timed beside a cuBLAS product of f16
// weights, with the share of the memory's bandwidth that it draws. Without a GPU it says so and ends. bench/cuda.mjs
// builds and runs it.
//
//   cuda_bench [rows columns]...       default: layers of models with 8 billion weights
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>

#include "core/aligned_buffer.h"
#include "core/linear/activation_quantizer.h"
#include "cublas.h"
#include "cuda/driver/device.h"
#include "cuda/expanded_codes.h"
#include "cuda/linear/lane.h"
#include "cuda/pair_codes.h"
#include "device_timer.h"
#include "random_layer.h"

namespace bench {
namespace {

using namespace pyramidion;
using namespace pyramidion::cuda;

struct CodeChoice {
  int dimension, pulses, levels;
};

// 2 and 3 bits a weight in groups of 8, 3 and 4 in groups of 16.
constexpr CodeChoice kCodes[] = {{8, 6, 2}, {8, 12, 7}, {16, 24, 7}, {16, 49, 14}};
constexpr size_t kTokens[] = {1, 8, 32, 64, 512};

// Tokens whose outputs the processor computes, too.
constexpr size_t kChecked = 4;

// Weights are read from so many bytes in turn that no cache holds them.
constexpr size_t kBeyondCaches = size_t{128} << 20;

// Largest difference of the device's product from the processor's, relative to the largest output, over a few tokens.
double error_of(const RandomLayer& layer, const PvqProduct& product, std::vector<float> x, size_t tokens,
                ThreadPool& pool) {
  const size_t rows = layer.rows, columns = layer.layout.columns;
  const PvqMatrix matrix(rows, layer.layout, layer.codes.data(), layer.row_scale.data());
  std::vector<float> y(tokens * rows), expected(rows);
  product.multiply(x.data(), tokens, y.data(), false, pool);
  layer.rotation.apply(x.data(), tokens, false, pool);
  if (product.int8_inputs()) int8_activations(columns)->apply(x.data(), tokens, pool);
  AlignedBuffer<float> prepared(matrix.prepared_size());
  double error = 0, largest = 0;
  for (size_t t = 0; t < tokens; t += (tokens + kChecked - 1) / kChecked) {
    matrix.prepare_vector(x.data() + t * columns, prepared.data());
    pool.parallel_for(rows, 64, [&](size_t begin, size_t end) {
      matrix.row_dots(begin, end - begin, prepared.data(), expected.data() + begin);
    });
    for (size_t row = 0; row < rows; ++row) {
      error = std::max(error, std::fabs(static_cast<double>(y[t * rows + row]) - expected[row]));
      largest = std::max(largest, std::fabs(static_cast<double>(expected[row])));
    }
  }
  return error / largest;
}

// Bytes of the codes that a product reads.
size_t code_bytes(const RandomLayer& layer, const PvqProduct& product, size_t tokens) {
  const PvqCode& code = layer.layout.codes.front();
  if (product.expanded()) {
    return layer.rows * chunks_of_row(code) * (kExpandedChunk + 4 * gains_of_chunk(code));
  }
  const bool pairs = product.input_format(tokens) == InputFormat::i8 && has_pair_codes(code);
  const int bits = pairs ? pair_layout(code).bits() : code.bits;
  return size_t{quads(static_cast<uint32_t>(layer.rows))} * quad_words(code.groups, bits) * 16;
}

// Of a whole call in microseconds: copies there and back, rotation, product.
double call_microseconds(const PvqProduct& product, const std::vector<float>& x, size_t tokens, ThreadPool& pool) {
  std::vector<float> y(tokens * product.out_features());
  std::vector<double> times;
  for (int run = 0; run < 31; ++run) {
    const auto start = std::chrono::steady_clock::now();
    product.multiply(x.data(), tokens, y.data(), false, pool);
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// Bytes a second that a copy inside the device's memory moves, both ways counted: what a product can hope for.
double copy_bandwidth(const Context& context, Stream& stream, size_t bytes) {
  const DeviceBuffer from(context, bytes), to(context, bytes);
  const std::vector<uint8_t> zeros(bytes);
  stream.upload(from, zeros.data(), bytes);
  const double time = microseconds(stream, 4, [&](size_t) {
    check("cuMemcpyDtoDAsync", driver_api().cuMemcpyDtoDAsync_v2(to.address(), from.address(), bytes, stream.handle()));
  });
  return 2e6 * static_cast<double>(bytes) / time;
}

class Bench {
 public:
  explicit Bench(bool quick)
      : context_(Context::shared()), current_(context_), stream_(context_), cublas_(stream_.handle()) {
    working_set_ = quick ? 0 : kBeyondCaches;
    bandwidth_ = copy_bandwidth(context_, stream_, quick ? 1 << 16 : kBeyondCaches);
    std::printf("%s, compute capability %d.%d; a copy in its memory moves %.0f GB/s; %s\n\n",
                context_.device().name.c_str(), context_.device().compute_major, context_.device().compute_minor,
                bandwidth_ / 1e9, cublas_.what().c_str());
    std::printf("%-14s %-20s %6s %9s %10s %10s %8s %10s %12s %8s\n", "layer", "code", "tokens", "error", "call us",
                "product us", "GB/s", "of a copy", "f16 cuBLAS us", "faster");
  }

  // Whether every product was right.
  bool run(size_t rows, size_t columns) {
    bool right = true;
    for (const CodeChoice& code : kCodes) {
      const RandomLayer layer(rows, columns, code.dimension, code.pulses, code.levels, cache_, random_);
      for (const auto& [int8, expanded] : {std::pair{false, false}, {false, true}, {true, false}, {true, true}}) {
        // Pair codes are used either way.
        if (int8 && expanded && has_pair_codes(layer.layout.codes.front())) continue;
        std::vector<std::unique_ptr<PvqProduct>> copies;
        copies.push_back(layer.upload(int8, expanded, pool_));
        copies.resize(1 + working_set_ / copies.front()->bytes());
        pool_.parallel_for(copies.size() - 1, 1, [&, int8 = int8, expanded = expanded](size_t begin, size_t) {
          copies[1 + begin] = layer.upload(int8, expanded, pool_);
        });
        for (size_t tokens : kTokens) right &= run(layer, copies, code, tokens);
      }
    }
    return right;
  }

 private:
  bool run(const RandomLayer& layer, const std::vector<std::unique_ptr<PvqProduct>>& copies, const CodeChoice& code,
           size_t tokens) {
    // Weights become halves for the tensor cores.
    const InputFormat format = copies.front()->input_format(tokens);
    // Behind a rotation with a matrix, sums differ in their last bits, which now and then is a step of int8.
    const bool steps = layer.rotation.order() > 1 && copies.front()->int8_inputs();
    const bool halves = format == InputFormat::f16 || format == InputFormat::i8_f16;
    const double tolerance = halves || steps ? 2e-3 : 1e-5;
    const size_t rows = layer.rows, columns = layer.layout.columns;
    std::normal_distribution<float> normal;
    std::vector<float> x(tokens * columns);
    for (float& value : x) value = normal(random_);
    const double error = error_of(layer, *copies.front(), x, tokens, pool_);

    const size_t stride = (columns + 15) / 16 * 16;
    const std::vector<float> padded(tokens * stride + 16, 0.5f);
    const DeviceBuffer inputs(context_, padded.size() * sizeof(float)),
        outputs(context_, tokens * rows * sizeof(float));
    const DeviceBuffer scratch(context_, copies.front()->scratch_bytes(tokens));
    stream_.upload(inputs, padded.data(), inputs.bytes());
    const Activations activations{inputs.as<const void>(), nullptr, static_cast<uint32_t>(stride)};
    const double time = microseconds(stream_, 2 * copies.size(), [&](size_t i) {
      copies[i % copies.size()]->enqueue(stream_, activations, nullptr, tokens,
                                         reinterpret_cast<float*>(outputs.address()), scratch);
    });
    const double bytes = static_cast<double>(code_bytes(layer, *copies.front(), tokens) + outputs.bytes() +
                                             tokens * stride * bytes_of(format));
    const double rate = 1e6 * bytes / time;
    char shape[32], name[32], peer[32] = "-", faster[32] = "-";
    std::snprintf(shape, sizeof shape, "%zu x %zu", rows, columns);
    std::snprintf(name, sizeof name, "%d,%d,%d%s%s", code.dimension, code.pulses, code.levels,
                  copies.front()->expanded() ? " bytes" : "", copies.front()->int8_inputs() ? " int8" : "");
    if (cublas_.available()) {
      const double other = cublas_microseconds(rows, columns, tokens);
      std::snprintf(peer, sizeof peer, "%.1f", other);
      std::snprintf(faster, sizeof faster, "%.2f x", other / time);
    }
    const double call = call_microseconds(*copies.front(), x, tokens, pool_);
    std::printf("%-14s %-20s %6zu %9.1e %10.1f %10.1f %8.0f %8.0f %% %12s %8s%s\n", shape, name, tokens, error, call,
                time, rate / 1e9, 100 * rate / bandwidth_, peer, faster, error <= tolerance ? "" : "  WRONG");
    return error <= tolerance;
  }

  double cublas_microseconds(size_t rows, size_t columns, size_t tokens) {
    const size_t each = 2 * rows * columns, count = std::max<size_t>(1, working_set_ / each);
    if (peer_weights_.bytes() != count * each) peer_weights_ = random_halves(count * rows * columns);
    const DeviceBuffer x = random_halves(tokens * columns), y(context_, 2 * tokens * rows);
    return microseconds(stream_, 2 * count, [&](size_t i) {
      cublas_.multiply(peer_weights_.address() + i % count * each, x.address(), y.address(), rows, columns, tokens);
    });
  }

  // From 1/16 to 1 in magnitude: on zeros a GPU is faster.
  DeviceBuffer random_halves(size_t count) {
    std::vector<uint16_t> values(count);
    for (uint16_t& value : values) value = static_cast<uint16_t>(0x2c00 + random_() % 0x1000) ^ (random_() % 2 << 15);
    DeviceBuffer buffer(context_, 2 * count);
    stream_.upload(buffer, values.data(), buffer.bytes());
    stream_.synchronize();
    return buffer;
  }

  const Context& context_;
  const Context::Current current_;
  Stream stream_;
  Cublas cublas_;
  DeviceBuffer peer_weights_;
  ThreadPool pool_{std::max(1u, std::thread::hardware_concurrency())};
  PyramidCache cache_;
  std::mt19937_64 random_{1};
  size_t working_set_ = 0;
  double bandwidth_ = 0;
};

int run(int count, char** arguments) {
  const DeviceList list = list_devices();
  bool usable = false;
  for (const DeviceInfo& device : list.devices) {
    usable |= device.usable();
    if (!device.usable()) std::printf("%s cannot be used: %s\n", device.name.c_str(), device.reason.c_str());
  }
  if (!usable) {
    std::printf("No GPU to measure. %s\n", list.reason.c_str());
    return 0;
  }
  // Sizes of one's own are for a quick look: they are not read around the caches.
  Bench bench(count > 1);
  bool right = true;
  if (count > 1) {
    for (int i = 1; i + 1 < count; i += 2)
      right &= bench.run(std::strtoul(arguments[i], nullptr, 10), std::strtoul(arguments[i + 1], nullptr, 10));
  } else {
    for (const auto& [rows, columns] : {std::pair<size_t, size_t>{4096, 4096}, {14336, 4096}, {4096, 14336}}) {
      right &= bench.run(rows, columns);
    }
  }
  if (!right) std::printf("\nSome products are wrong.\n");
  return right ? 0 : 1;
}

}  // namespace
}  // namespace bench

int main(int count, char** arguments) {
  // A line at a time, into files too.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    return bench::run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
