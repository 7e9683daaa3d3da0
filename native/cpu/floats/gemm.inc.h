// Dense products C = A B^T: B is packed into panels of NR rows, value k of all NR rows side by side, so that a block of
// C is kept in registers while k runs: MR broadcasts from A times NR / lanes vectors of a panel (Goto and van de Geijn,
// "Anatomy of high-performance matrix multiplication", 2008, without the outer cache blocking, which callers do).
#pragma once

#include "cpu/floats/vector.h"
#include "cpu/transpose_lanes.h"

namespace pyramidion::PYRAMIDION_FLOATS {

constexpr size_t kPanelVectors = 2;
// Accumulators take MR x 2 registers of the 32 (AVX-512, NEON) or 16 there are.
#if defined(__AVX512F__)
constexpr size_t kBlockRows = 12;
#elif defined(__AVX2__)
constexpr size_t kBlockRows = 6;
#elif defined(PYRAMIDION_NEON)
constexpr size_t kBlockRows = 8;
#else
constexpr size_t kBlockRows = 4;
#endif

template <class T>
constexpr size_t kPanel = kPanelVectors* kLanes<T>;

// A whole panel of rows that lie one behind the other.
template <class T>
inline void pack_panel(const T* rows, size_t row_stride, size_t depth, T* panel) {
  constexpr size_t lanes = kLanes<T>;
  size_t k = 0;
  for (; k + lanes <= depth; k += lanes) {
    for (size_t v = 0; v < kPanelVectors; ++v) {
      Vector<T> square[lanes];
      for (size_t i = 0; i < lanes; ++i) square[i] = load(rows + (v * lanes + i) * row_stride + k);
      lanes_to_groups<lanes>(square);
      for (size_t i = 0; i < lanes; ++i) store(panel + (k + i) * kPanel<T> + v * lanes, square[i]);
    }
  }
  for (; k < depth; ++k) {
    for (size_t j = 0; j < kPanel<T>; ++j) panel[k * kPanel<T> + j] = rows[j * row_stride + k];
  }
}

template <class T>
void pack(const T* b, size_t row_stride, size_t column_stride, size_t rows, size_t depth, T* panels) {
  for (size_t first = 0; first < rows; first += kPanel<T>, panels += depth * kPanel<T>) {
    const size_t used = rows - first < kPanel<T> ? rows - first : kPanel<T>;
    const T* source = b + first * row_stride;
    if (row_stride == 1 && used == kPanel<T>) {
      for (size_t k = 0; k < depth; ++k) {
        for (size_t v = 0; v < kPanelVectors; ++v) {
          store(panels + k * kPanel<T> + v * kLanes<T>, load(source + k * column_stride + v * kLanes<T>));
        }
      }
    } else if (column_stride == 1 && used == kPanel<T>) {
      pack_panel(source, row_stride, depth, panels);
    } else {
      for (size_t k = 0; k < depth; ++k) {
        for (size_t j = 0; j < kPanel<T>; ++j) {
          panels[k * kPanel<T> + j] = j < used ? source[j * row_stride + k * column_stride] : T(0);
        }
      }
    }
  }
}

// block[i][j] = sum_k a[i][k] * panel[k][j] for ROWS rows.
template <class T, size_t ROWS>
inline void multiply_block(const T* a, size_t row_stride, size_t column_stride, const T* panel, size_t depth,
                           T* block) {
  Vector<T> sums[ROWS][kPanelVectors] = {};
  for (size_t k = 0; k < depth; ++k) {
    Vector<T> values[kPanelVectors];
    for (size_t v = 0; v < kPanelVectors; ++v) values[v] = load(panel + k * kPanel<T> + v * kLanes<T>);
#pragma GCC unroll 16
    for (size_t i = 0; i < ROWS; ++i) {
      const Vector<T> factor = broadcast(a[i * row_stride + k * column_stride]);
      for (size_t v = 0; v < kPanelVectors; ++v) sums[i][v] = multiply_add(factor, values[v], sums[i][v]);
    }
  }
  for (size_t i = 0; i < ROWS; ++i) {
    for (size_t v = 0; v < kPanelVectors; ++v) store(block + i * kPanel<T> + v * kLanes<T>, sums[i][v]);
  }
}

// Calls multiply_block with `rows` as a constant, so that the sums stay in registers, and with a stride of one as a
// constant, so that addresses do.
template <class T, size_t ROWS = kBlockRows>
inline void multiply_rows(size_t rows, const T* a, size_t row_stride, size_t column_stride, const T* panel,
                          size_t depth, T* block) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return multiply_rows<T, ROWS - 1>(rows, a, row_stride, column_stride, panel, depth, block);
  }
  if (column_stride == 1) {
    multiply_block<T, ROWS>(a, row_stride, 1, panel, depth, block);
  } else if (row_stride == 1) {
    multiply_block<T, ROWS>(a, 1, column_stride, panel, depth, block);
  } else {
    multiply_block<T, ROWS>(a, row_stride, column_stride, panel, depth, block);
  }
}

// c = factor * block, or c += factor * block, for rows of whole panels.
template <class T>
inline void store_block(const T* block, size_t rows, T factor, bool accumulate, T* c, size_t stride) {
  for (size_t i = 0; i < rows; ++i) {
    for (size_t v = 0; v < kPanelVectors; ++v) {
      const Vector<T> value = factor * load(block + i * kPanel<T> + v * kLanes<T>);
      T* target = c + i * stride + v * kLanes<T>;
      store(target, accumulate ? load(target) + value : value);
    }
  }
}

template <class T>
void multiply_panels(const T* a, size_t a_row_stride, size_t a_column_stride, size_t rows, const T* panels,
                     size_t columns, size_t depth, T factor, bool accumulate, T* c, size_t c_row_stride,
                     size_t c_column_stride) {
  alignas(64) T block[kBlockRows * kPanel<T>];
  for (size_t j = 0; j < columns; j += kPanel<T>, panels += depth * kPanel<T>) {
    const size_t width = columns - j < kPanel<T> ? columns - j : kPanel<T>;
    for (size_t i = 0; i < rows; i += kBlockRows) {
      const size_t height = rows - i < kBlockRows ? rows - i : kBlockRows;
      multiply_rows<T>(height, a + i * a_row_stride, a_row_stride, a_column_stride, panels, depth, block);
      T* target = c + i * c_row_stride + j * c_column_stride;
      if (c_column_stride == 1 && width == kPanel<T>) {
        store_block(block, height, factor, accumulate, target, c_row_stride);
        continue;
      }
      for (size_t jj = 0; jj < width; ++jj) {
        for (size_t ii = 0; ii < height; ++ii) {
          T& out = target[ii * c_row_stride + jj * c_column_stride];
          const T value = factor * block[ii * kPanel<T> + jj];
          out = accumulate ? out + value : value;
        }
      }
    }
  }
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
