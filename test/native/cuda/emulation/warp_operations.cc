// What shuffles, votes and the tensor-core instructions compute once all their lanes are there (PTX ISA, sections 9.7.9
// and 9.7.14). Fragments are those of mma.m16n8k16: a lane is 4 g + t, g its group and t its thread in the group.
#include "emulation/fiber.h"
#include "emulation/half.h"

namespace simt {
namespace {

bool in(unsigned mask, int lane) { return (mask >> lane & 1) != 0; }

float half_at(uint32_t word, int half) { return pyramidion::half_to_float(static_cast<uint16_t>(word >> 16 * half)); }

int source_lane(const Fiber& fiber, int lane) {
  const int first = lane & ~(fiber.width - 1), last = first + fiber.width - 1;
  int source = lane;
  switch (fiber.mode) {
    case ShuffleMode::index:
      return first + (fiber.argument & (fiber.width - 1));
    case ShuffleMode::up:
      source = lane - fiber.argument;
      return source < first ? lane : source;
    case ShuffleMode::down:
      source = lane + fiber.argument;
      break;
    case ShuffleMode::exclusive_or:
      source = lane ^ fiber.argument;
      break;
  }
  return source > last ? lane : source;
}

void execute_shuffle(Fiber* lanes, unsigned mask) {
  uint64_t values[32];
  for (int lane = 0; lane < 32; ++lane) values[lane] = in(mask, lane) ? lanes[lane].value : 0;
  for (int lane = 0; lane < 32; ++lane) {
    if (!in(mask, lane)) continue;
    const int source = source_lane(lanes[lane], lane);
    if (!in(mask, source)) {
      current = &lanes[lane].thread;
      fail(lanes[lane].place, "shuffle reads a lane outside its mask");
    }
    lanes[lane].value = values[source];
  }
}

void execute_vote(Fiber* lanes, unsigned mask) {
  unsigned ballot = 0;
  for (int lane = 0; lane < 32; ++lane) ballot |= in(mask, lane) && lanes[lane].value != 0 ? 1u << lane : 0;
  for (int lane = 0; lane < 32; ++lane) {
    if (in(mask, lane)) lanes[lane].value = ballot;
  }
}

// Sums in double, rounded once: hardware differs in the last bits.
void execute_multiply_accumulate(Fiber* lanes) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r) {
      for (int h = 0; h < 2; ++h) a[g + 8 * (r & 1)][2 * t + h + 8 * (r >> 1)] = half_at(lanes[lane].a[r], h);
    }
    for (int r = 0; r < 2; ++r) {
      for (int h = 0; h < 2; ++h) b[2 * t + h + 8 * r][g] = half_at(lanes[lane].b[r], h);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int r = 0; r < 4; ++r) {
      const int row = g + 8 * (r >> 1), column = 2 * t + (r & 1);
      double sum = lanes[lane].d[r];
      for (int k = 0; k < 16; ++k) sum += static_cast<double>(a[row][k]) * b[k][column];
      lanes[lane].d[r] = static_cast<float>(sum);
    }
  }
}

void execute_load_matrix(Fiber* lanes) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int matrix = 0; matrix < lanes[lane].argument; ++matrix) {
      // Row lane / 4 of the matrix, columns 2 (lane % 4) and the next: one word.
      lanes[lane].out[matrix] = lanes[8 * matrix + lane / 4].row[lane % 4];
    }
  }
}

}  // namespace

void execute(Fiber* lanes, unsigned mask, WarpOperation operation) {
  switch (operation) {
    case WarpOperation::shuffle:
      execute_shuffle(lanes, mask);
      break;
    case WarpOperation::vote:
      execute_vote(lanes, mask);
      break;
    case WarpOperation::multiply_accumulate:
      execute_multiply_accumulate(lanes);
      break;
    case WarpOperation::load_matrix:
      execute_load_matrix(lanes);
      break;
    case WarpOperation::sync:
      break;
  }
}

}  // namespace simt
