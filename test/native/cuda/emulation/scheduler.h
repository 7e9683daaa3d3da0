// Runs a kernel's threads on the CPU: every CUDA thread is a fiber, all on one operating system thread, blocks one
// after another. The order is that of SIMT_SEED: 0 ascending, 1 descending, others shuffled anew at each round. What
// CUDA leaves undefined (a lane missing at a warp operation, a barrier reached by part of a block) ends the process
// with a message.
#pragma once

#include <cstddef>
#include <cstdint>

#include "emulation/vector_types.h"

namespace simt {

struct Thread {
  uint3 index, block;
  dim3 block_size, grid_size;
  unsigned linear;
};

// The CUDA thread that runs.
extern Thread* current;

// Where in the kernels an operation stands.
struct Place {
  const char* file;
  int line;
};

void launch(dim3 grid, dim3 block, size_t dynamic_shared, void (*body)(void*), void* argument);

// __syncthreads; returns how many threads came with a predicate that holds.
int barrier(int predicate, Place place);

enum class ShuffleMode { index, up, down, exclusive_or };
uint64_t shuffle(unsigned mask, uint64_t value, ShuffleMode mode, int argument, int width, Place place);
unsigned vote(unsigned mask, bool predicate, Place place);
void sync_warp(unsigned mask, Place place);

// The fragments of mma.sync.m16n8k16 with f16 inputs and float sums; d += a b.
void multiply_accumulate(float* d, const uint32_t* a, const uint32_t* b, Place place);
// ldmatrix: lane i gives row i % 8 of matrix i / 8, 16 bytes each.
void load_matrix(const uint32_t row[4], uint32_t* out, int matrices, Place place);

// Shared memory is one heap block a variable and block, exactly as large as the variable and filled with 0xff.
void* static_shared(const void* key, size_t bytes);
void* dynamic_shared();

// cp.async: data arrive at the wait, not at the issue.
void copy_async(void* to, const void* data, size_t bytes);
void commit_copies();
void wait_copies(size_t groups_left);

[[noreturn]] void fail(Place place, const char* message);

}  // namespace simt
