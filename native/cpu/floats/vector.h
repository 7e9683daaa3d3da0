// The vectors the float kernels are written with, as wide as the instruction set at hand. This header and every other
// *.inc.h of the folder is compiled once per instruction set, inside a namespace of its own, by each source file
// of the folder but kernels.cc; nothing here may call inline functions of the standard library, whose copies the linker
// would merge.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <utility>
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(PYRAMIDION_NEON)
#include <arm_neon.h>
#endif

namespace pyramidion::PYRAMIDION_FLOATS {

#if defined(__AVX512F__)
constexpr size_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr size_t kVectorBytes = 32;
#else
constexpr size_t kVectorBytes = 16;
#endif

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float Type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VectorOf<double> {
  typedef double Type __attribute__((vector_size(kVectorBytes)));
};
typedef int32_t Int32Vector __attribute__((vector_size(kVectorBytes)));

template <class T>
using Vector = typename VectorOf<T>::Type;
using FloatVector = Vector<float>;

template <class T>
constexpr size_t kLanes = kVectorBytes / sizeof(T);
constexpr size_t kFloats = kLanes<float>;

template <class T>
inline Vector<T> load(const T* from) {
  Vector<T> vector;
  __builtin_memcpy(&vector, from, sizeof(vector));
  return vector;
}

template <class T>
inline void store(T* to, Vector<T> vector) {
  __builtin_memcpy(to, &vector, sizeof(vector));
}

// Less a vector of zeros, which changes no value: to add one would turn -0 into 0, so that compilers must do it.
template <class T>
inline Vector<T> broadcast(T value) {
  return value - Vector<T>{};
}

// a * b + c, rounded once where the instruction set can.
inline FloatVector multiply_add(FloatVector a, FloatVector b, FloatVector c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(PYRAMIDION_NEON)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

inline Vector<double> multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_pd(a, b, c);
#elif defined(PYRAMIDION_NEON)
  return vfmaq_f64(c, a, b);
#else
  return a * b + c;
#endif
}

// The sum of the values, upper halves added to lower ones in registers.
template <class T, size_t lanes>
struct LaneSum {
  typedef T Whole __attribute__((vector_size(lanes * sizeof(T))));
  template <size_t... lane>
  static T halved(Whole vector, std::index_sequence<lane...>) {
    return LaneSum<T, lanes / 2>::of(__builtin_shufflevector(vector, vector, lane...) +
                                     __builtin_shufflevector(vector, vector, (lane + lanes / 2)...));
  }
  static T of(Whole vector) { return halved(vector, std::make_index_sequence<lanes / 2>()); }
};
template <class T>
struct LaneSum<T, 2> {
  typedef T Whole __attribute__((vector_size(2 * sizeof(T))));
  static T of(Whole vector) { return vector[0] + vector[1]; }
};

template <class T>
inline T sum_of(Vector<T> vector) {
  return LaneSum<T, kLanes<T>>::of(vector);
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
