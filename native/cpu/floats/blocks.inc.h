// Decoders of stored number formats into floats: half types, int8 with a scale for 16 values, and the block formats of
// GGUF as ggml lays them out (ggml-common.h). Each decodes `count` values, a whole number of blocks.
#pragma once

#include "core/matrix/half.h"
#include "cpu/floats/vector.h"

namespace pyramidion::PYRAMIDION_FLOATS {

inline uint16_t read_u16(const uint8_t* bytes) {
  uint16_t value;
  __builtin_memcpy(&value, bytes, sizeof(value));
  return value;
}

inline float read_half(const uint8_t* bytes) {
#if defined(__AVX2__)
  return _cvtsh_ss(read_u16(bytes));
#elif defined(PYRAMIDION_NEON)
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(read_u16(bytes)))), 0);
#else
  return half_to_float(read_u16(bytes));
#endif
}

void decode_f32(const uint8_t* bytes, size_t count, float* out) { __builtin_memcpy(out, bytes, count * sizeof(float)); }

void decode_f16(const uint8_t* bytes, size_t count, float* out) {
  size_t i = 0;
#if defined(__AVX2__)
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 2 * i))));
  }
#elif defined(PYRAMIDION_NEON)
  for (; i + 8 <= count; i += 8) {
    const float16x8_t halves = vreinterpretq_f16_u8(vld1q_u8(bytes + 2 * i));
    vst1q_f32(out + i, vcvt_f32_f16(vget_low_f16(halves)));
    vst1q_f32(out + i + 4, vcvt_high_f32_f16(halves));
  }
#endif
  for (; i < count; ++i) out[i] = read_half(bytes + 2 * i);
}

void decode_bf16(const uint8_t* bytes, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) out[i] = bfloat_to_float(read_u16(bytes + 2 * i));
}

// 32 values: f16 scale, 32 int8.
void decode_q8_0(const uint8_t* bytes, size_t count, float* out) {
  for (size_t first = 0; first < count; first += 32, bytes += 34, out += 32) {
    const float scale = read_half(bytes);
    for (size_t i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(static_cast<int8_t>(bytes[2 + i]));
  }
}

// 32 values scale * code + offset from 16 bytes: byte i holds value i in its low half and value i + 16 in its high
// half.
inline void decode_nibbles(const uint8_t* bytes, float scale, float offset, float* out) {
  typedef int32_t Integers __attribute__((vector_size(64)));
  typedef float Floats __attribute__((vector_size(64)));
  Integers codes;
  // g++ 12 converts vectors of bytes one element at a time.
#if defined(__AVX512F__)
  codes = (Integers)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
#elif defined(__AVX2__)
  const __m256i halves[2] = {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes))),
                             _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + 8)))};
  __builtin_memcpy(&codes, halves, sizeof(codes));
#elif defined(PYRAMIDION_NEON)
  const uint8x16_t all = vld1q_u8(bytes);
  const uint16x8_t eights[2] = {vmovl_u8(vget_low_u8(all)), vmovl_high_u8(all)};
  const uint32x4_t quarters[4] = {vmovl_u16(vget_low_u16(eights[0])), vmovl_high_u16(eights[0]),
                                  vmovl_u16(vget_low_u16(eights[1])), vmovl_high_u16(eights[1])};
  __builtin_memcpy(&codes, quarters, sizeof(codes));
#else
  for (size_t i = 0; i < 16; ++i) codes[i] = bytes[i];
#endif
  const Floats low = __builtin_convertvector(codes & 15, Floats) * scale + offset;
  const Floats high = __builtin_convertvector(codes >> 4, Floats) * scale + offset;
  __builtin_memcpy(out, &low, sizeof(low));
  __builtin_memcpy(out + 16, &high, sizeof(high));
}

// 32 values: f16 scale, 16 bytes of codes, value = scale * (code - 8).
void decode_q4_0(const uint8_t* bytes, size_t count, float* out) {
  for (size_t first = 0; first < count; first += 32, bytes += 18, out += 32) {
    const float scale = read_half(bytes);
    decode_nibbles(bytes + 2, scale, -8 * scale, out);
  }
}

// 32 values: f16 scale and minimum, 16 bytes of codes, value = scale * code + minimum.
void decode_q4_1(const uint8_t* bytes, size_t count, float* out) {
  for (size_t first = 0; first < count; first += 32, bytes += 20, out += 32) {
    decode_nibbles(bytes + 4, read_half(bytes), read_half(bytes + 2), out);
  }
}

// 256 values: f16 scale and minimum, 12 bytes of eight 6-bit scale and minimum pairs, 128 bytes of 4-bit codes. Pair
// j < 4 is in the low six bits of bytes j and j + 4; pair j >= 4 has its low four bits in byte j + 4 and its high two
// in the top of bytes j - 4 and j. Codes come as runs of 32 bytes: low halves are one group of 32, high halves the
// next.
void decode_q4_k(const uint8_t* bytes, size_t count, float* out) {
  for (size_t first = 0; first < count; first += 256, bytes += 144) {
    const float scale = read_half(bytes), minimum = read_half(bytes + 2);
    const uint8_t* pairs = bytes + 4;
    const uint8_t* codes = bytes + 16;
    for (size_t group = 0; group < 8; ++group, out += 32) {
      uint8_t s, m;
      if (group < 4) {
        s = pairs[group] & 63;
        m = pairs[group + 4] & 63;
      } else {
        s = static_cast<uint8_t>((pairs[group + 4] & 15) | (pairs[group - 4] >> 6) << 4);
        m = static_cast<uint8_t>((pairs[group + 4] >> 4) | (pairs[group] >> 6) << 4);
      }
      const float group_scale = scale * s, group_minimum = minimum * m;
      const unsigned shift = group % 2 == 0 ? 0 : 4;
      const uint8_t* run = codes + group / 2 * 32;
      for (size_t i = 0; i < 32; ++i) out[i] = group_scale * static_cast<float>(run[i] >> shift & 15) - group_minimum;
    }
  }
}

// 256 values: 128 bytes of low four bits, 64 bytes of high two bits, 16 int8 scales, f16 scale. Each half of 128 values
// takes 64 low bytes and 32 high bytes: value 32 q + i has its low bits in half q / 2 of byte (q % 2) * 32 + i and its
// high bits in bits 2 q of high byte i.
void decode_q6_k(const uint8_t* bytes, size_t count, float* out) {
  for (size_t first = 0; first < count; first += 256, bytes += 210) {
    const float scale = read_half(bytes + 208);
    for (size_t part = 0; part < 2; ++part) {
      const uint8_t* low = bytes + part * 64;
      const uint8_t* high = bytes + 128 + part * 32;
      const uint8_t* scales = bytes + 192 + part * 8;
      for (size_t quarter = 0; quarter < 4; ++quarter) {
        for (size_t half = 0; half < 2; ++half, out += 16) {
          const float group_scale = scale * static_cast<float>(static_cast<int8_t>(scales[quarter * 2 + half]));
          const unsigned shift = quarter / 2 * 4, high_shift = quarter * 2;
          const uint8_t* low_run = low + quarter % 2 * 32 + half * 16;
          const uint8_t* high_run = high + half * 16;
          for (size_t i = 0; i < 16; ++i) {
            const int code = (low_run[i] >> shift & 15) | (high_run[i] >> high_shift & 3) << 4;
            out[i] = group_scale * static_cast<float>(code - 32);
          }
        }
      }
    }
  }
}

// A row of int8 values with one f16 scale for 16 of them, the last block possibly shorter.
void decode_int8(const int8_t* values, const uint16_t* scales, size_t count, float* out) {
  for (size_t first = 0; first < count; first += 16) {
    const float scale = half_to_float(scales[first / 16]);
    const size_t used = count - first < 16 ? count - first : 16;
    if (used == 16) {
      for (size_t i = 0; i < 16; ++i) out[first + i] = scale * static_cast<float>(values[first + i]);
    } else {
      for (size_t i = 0; i < used; ++i) out[first + i] = scale * static_cast<float>(values[first + i]);
    }
  }
}

// Codes of 1 to 8 bits from a little-endian bit stream, as floats. Eight codes take `bits` bytes, and four of them fit
// 32 bits at any width; the bytes read are those the codes are in.
void unpack_codes(const uint8_t* bytes, size_t count, unsigned bits, float* out) {
  typedef uint32_t Words __attribute__((vector_size(32)));
  typedef int32_t Integers __attribute__((vector_size(32)));
  typedef float Eight __attribute__((vector_size(32)));
  const uint32_t mask = (1u << bits) - 1;
  const Words shifts = {0, bits, 2 * bits, 3 * bits, 0, bits, 2 * bits, 3 * bits};
  const auto unpack = [=](uint64_t word, float* to, size_t used) {
    const uint32_t low = static_cast<uint32_t>(word), high = static_cast<uint32_t>(word >> 4 * bits);
    const Words codes = (Words{low, low, low, low, high, high, high, high} >> shifts) & mask;
    const Eight values = __builtin_convertvector((Integers)codes, Eight);
    __builtin_memcpy(to, &values, used * sizeof(float));
  };
  const size_t size = (count * bits + 7) / 8;
  size_t i = 0, at = 0;
  for (; i + 8 <= count && at + 8 <= size; i += 8, at += bits) {
    uint64_t word;
    __builtin_memcpy(&word, bytes + at, sizeof(word));
    unpack(word, out + i, 8);
  }
  for (; i < count; i += 8, at += bits) {
    uint64_t word = 0;
    for (size_t byte = 0; byte < 8 && at + byte < size; ++byte)
      word |= static_cast<uint64_t>(bytes[at + byte]) << 8 * byte;
    unpack(word, out + i, count - i < 8 ? count - i : 8);
  }
}

// x = scale * (x - middle) + minimum
void scale_codes(float scale, float middle, float minimum, float* x, size_t count) {
  for (size_t i = 0; i < count; ++i) x[i] = scale * (x[i] - middle) + minimum;
}

// Codes whose top bit, worth `sign`, makes the value negative: x = scale * x below it, -scale * (x - sign) from it on.
void scale_signed_codes(float scale, float sign, float* x, size_t count) {
  for (size_t i = 0; i < count; ++i) x[i] = x[i] < sign ? scale * x[i] : scale * (sign - x[i]);
}

}  // namespace pyramidion::PYRAMIDION_FLOATS
