// What the machine can do at most, measured with the threads given: bytes read a second from memory far larger than the caches, and
// multiplications a second in registers, with the widest instructions for bytes (AMX, VNNI) that it was compiled for and in float.
//   g++ -O3 -march=native -pthread probe.cc -o probe && ./probe THREADS
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__AMX_INT8__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/** Units a second of `threads` threads that each do `units` in a call of `work`: the best of several turns. */
double best_rate(size_t threads, double units, const std::function<void(size_t)>& work) {
  double best = 0;
  for (int turn = 0; turn < 7; turn++) {
    const double start = seconds();
    std::vector<std::thread> team;
    for (size_t t = 0; t < threads; t++) team.emplace_back(work, t);
    for (std::thread& member : team) member.join();
    const double rate = static_cast<double>(threads) * units / (seconds() - start);
    if (rate > best) best = rate;
  }
  return best;
}

typedef uint64_t Words __attribute__((vector_size(64)));
volatile uint64_t sink;

double read_bandwidth(size_t threads) {
  const size_t bytes = size_t{192} << 20;
  std::vector<char*> memory(threads);
  for (char*& each : memory) {
    each = static_cast<char*>(std::aligned_alloc(64, bytes));
    std::memset(each, 1, bytes);
  }
  return best_rate(threads, static_cast<double>(bytes), [&](size_t t) {
    const Words* from = reinterpret_cast<const Words*>(memory[t]);
    Words sums[4] = {};
    for (size_t i = 0; i < bytes / sizeof(Words); i += 4) {
      for (size_t j = 0; j < 4; j++) sums[j] += from[i + j];
    }
    sink = (sums[0] + sums[1] + sums[2] + sums[3])[0];
  });
}

constexpr size_t rounds = 8'000'000;

#if defined(__AMX_INT8__) && defined(__linux__)
const char* const byte_instruction = "AMX";
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t tile_rows[16] = {};
};
bool allow_tiles() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }
/** 16 x 16 sums of 64 products an instruction, four of them in flight. */
double byte_products(size_t threads) {
  if (!allow_tiles()) return 0;
  return best_rate(threads, static_cast<double>(rounds / 16) * 4 * 16 * 16 * 64, [](size_t) {
    TileConfig config;
    for (int t = 0; t < 8; t++) {
      config.bytes[t] = 64;
      config.tile_rows[t] = 16;
    }
    _tile_loadconfig(&config);
    alignas(64) static int8_t ones[1024];
    _tile_loadd(4, ones, 64);
    _tile_loadd(5, ones, 64);
    for (size_t i = 0; i < rounds / 16; i++) {
      _tile_dpbssd(0, 4, 5);
      _tile_dpbssd(1, 4, 5);
      _tile_dpbssd(2, 4, 5);
      _tile_dpbssd(3, 4, 5);
    }
    _tile_release();
  });
}
#elif defined(__AVX512VNNI__)
const char* const byte_instruction = "AVX-512 VNNI";
double byte_products(size_t threads) {
  return best_rate(threads, static_cast<double>(rounds) * 10 * 64, [](size_t t) {
    __m512i sums[10] = {};
    const __m512i b = _mm512_set1_epi8(3);
    __m512i a = _mm512_set1_epi8(static_cast<char>(t + 1));
    for (size_t i = 0; i < rounds; i++) {
      // Keeps the compiler from doing all rounds at once.
      __asm__("" : "+v"(a));
      for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
    }
    for (const __m512i& sum : sums) sink = static_cast<uint64_t>(_mm512_reduce_add_epi32(sum));
  });
}
#elif defined(__AVX2__)
const char* const byte_instruction = "AVX2 maddubs + madd";
double byte_products(size_t threads) {
  return best_rate(threads, static_cast<double>(rounds) * 10 * 32, [](size_t t) {
    __m256i sums[10] = {};
    const __m256i b = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1);
    __m256i a = _mm256_set1_epi8(static_cast<char>(t + 1));
    for (size_t i = 0; i < rounds; i++) {
      for (__m256i& sum : sums) {
        __asm__("" : "+x"(a));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
      }
    }
    for (const __m256i& sum : sums) sink = static_cast<uint64_t>(_mm256_extract_epi32(sum, 0));
  });
}
#else
const char* const byte_instruction = nullptr;
double byte_products(size_t) { return 0; }
#endif

typedef float Floats __attribute__((vector_size(64)));

double float_products(size_t threads) {
  return best_rate(threads, static_cast<double>(rounds) * 10 * 16, [](size_t t) {
    Floats sums[10] = {};
    const Floats a = Floats{} + static_cast<float>(t), b = Floats{} + 0.5f;
    for (size_t i = 0; i < rounds; i++) {
      for (Floats& sum : sums) sum = sum * a + b;
    }
    for (const Floats& sum : sums) sink = static_cast<uint64_t>(sum[0]);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const size_t threads = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1;
  const double bytes = byte_products(threads);
  std::printf("{\"readBandwidth\": %.4g, \"byteProducts\": %.4g, \"byteInstruction\": \"%s\", \"floatProducts\": %.4g}\n",
              read_bandwidth(threads), bytes, bytes > 0 ? byte_instruction : "none", float_products(threads));
}
