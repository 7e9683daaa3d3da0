#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "../../present_sets.h"
#include "../random_inputs.h"
#include "core/matrix/dense_matrix.h"
#include "core/matrix/half.h"
#include "core/matrix/int8_matrix.h"
#include "core/matrix/integer_matrix.h"
#include "core/matrix/mxint_matrix.h"
#include "core/matrix/small_codes.h"

using namespace pyramidion;

namespace {

// Random bytes with every f16 field of a block made an ordinary number.
std::vector<uint8_t> random_blocks(RandomInputs& inputs, size_t blocks, size_t block_bytes,
                                   const std::vector<size_t>& half_offsets) {
  std::vector<uint8_t> bytes = inputs.integers<uint8_t>(blocks * block_bytes, 0, 255);
  for (size_t block = 0; block < blocks; ++block) {
    for (size_t offset : half_offsets) bytes[block * block_bytes + offset + 1] &= 0xbb;
  }
  return bytes;
}

float half_at(const uint8_t* bytes) { return half_to_float(static_cast<uint16_t>(bytes[0] | bytes[1] << 8)); }

// One value of a block, worked out from ggml's layout by its index alone.
double value_of(const std::string& format, const uint8_t* block, size_t i) {
  if (format == "q8_0") return half_at(block) * static_cast<double>(static_cast<int8_t>(block[2 + i]));
  const auto nibble = [i](const uint8_t* codes) { return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4; };
  if (format == "q4_0") return half_at(block) * (nibble(block + 2) - 8.0);
  if (format == "q4_1") return half_at(block) * static_cast<double>(nibble(block + 4)) + half_at(block + 2);
  if (format == "q4_k") {
    const size_t group = i / 32;
    // The 96 bits of scales: six bits each for groups 0 to 3, then split ones.
    const uint8_t* s = block + 4;
    const int scale = group < 4 ? s[group] & 63 : (s[group + 4] & 15) | (s[group - 4] >> 6) << 4;
    const int minimum = group < 4 ? s[group + 4] & 63 : (s[group + 4] >> 4) | (s[group] >> 6) << 4;
    const uint8_t byte = block[16 + i / 64 * 32 + i % 32];
    const int code = i % 64 < 32 ? byte & 15 : byte >> 4;
    return static_cast<double>(half_at(block)) * scale * code - static_cast<double>(half_at(block + 2)) * minimum;
  }
  // q6_k
  const size_t part = i / 128, in_part = i % 128, quarter = in_part / 32, l = in_part % 32;
  const uint8_t low = block[part * 64 + quarter % 2 * 32 + l], high = block[128 + part * 32 + l];
  const int code = ((quarter < 2 ? low & 15 : low >> 4) | (high >> 2 * quarter & 3) << 4) - 32;
  const auto scale = static_cast<int8_t>(block[192 + i / 16]);
  return static_cast<double>(half_at(block + 208)) * scale * code;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return sum;
}

std::vector<float> decoded(const EncodedMatrix& matrix) {
  std::vector<float> values(matrix.rows() * matrix.columns());
  matrix.decode_rows(0, matrix.rows(), values.data(), matrix.columns());
  return values;
}

}  // namespace

TEST_CASE("block formats decode as ggml lays them out") {
  struct Case {
    const char* name;
    std::vector<size_t> halves;
  };
  for (const Case& test :
       {Case{"q8_0", {0}}, Case{"q4_0", {0}}, Case{"q4_1", {0, 2}}, Case{"q4_k", {0, 2}}, Case{"q6_k", {208}}}) {
    CAPTURE(test.name);
    const DenseFormat& format = *find_dense_format(test.name);
    RandomInputs inputs(format.block_bytes);
    const size_t rows = 3, columns = 3 * format.block_values;
    const std::vector<uint8_t> bytes = random_blocks(inputs, rows * 3, format.block_bytes, test.halves);
    const DenseMatrix matrix(format, rows, columns, bytes.data());
    CHECK(matrix.bytes() == bytes.size());
    const std::vector<float> values = decoded(matrix);
    for (size_t i = 0; i < values.size(); ++i) {
      const double expected =
          value_of(test.name, bytes.data() + i / format.block_values * format.block_bytes, i % format.block_values);
      REQUIRE(values[i] == doctest::Approx(expected).epsilon(1e-5));
    }
  }
  CHECK(find_dense_format("q5_0") == nullptr);
}

TEST_CASE("float formats decode exactly, and a stride leaves what lies between rows alone") {
  const size_t rows = 3, columns = 19, stride = 23;
  const std::vector<float> source = RandomInputs(3).normal(rows * columns);
  std::vector<uint16_t> halves, bfloats;
  for (float value : source) {
    halves.push_back(float_to_half(value));
    bfloats.push_back(static_cast<uint16_t>(bits_of_float(value) >> 16));
  }
  const auto check = [&](const char* name, const void* bytes, auto expected) {
    const DenseMatrix matrix(*find_dense_format(name), rows, columns, static_cast<const uint8_t*>(bytes));
    std::vector<float> out(rows * stride, -1.0f);
    matrix.decode_rows(0, rows, out.data(), stride);
    for (size_t i = 0; i < out.size(); ++i) {
      REQUIRE(out[i] == (i % stride < columns ? expected(i / stride * columns + i % stride) : -1.0f));
    }
  };
  check("f32", source.data(), [&](size_t i) { return source[i]; });
  check("f16", halves.data(), [&](size_t i) { return half_to_float(halves[i]); });
  check("bf16", bfloats.data(), [&](size_t i) { return float_from_bits(static_cast<uint32_t>(bfloats[i]) << 16); });
}

TEST_CASE("the fused dot products of a matrix are those of its decoded rows") {
  const size_t rows = 9, columns = 64;
  RandomInputs inputs(5);
  const DenseFormat& format = *find_dense_format("q8_0");
  const DenseMatrix matrix(format, rows, columns, random_blocks(inputs, rows * 2, format.block_bytes, {0}).data());
  const std::vector<float> x = inputs.normal(columns), values = decoded(matrix);
  std::vector<float> prepared(matrix.prepared_size()), y(4);
  matrix.prepare_vector(x.data(), prepared.data());
  matrix.row_dots(3, 4, prepared.data(), y.data());
  for (size_t i = 0; i < 4; ++i) {
    double sum = 0, size = 0;
    for (size_t k = 0; k < columns; ++k) {
      sum += static_cast<double>(values[(3 + i) * columns + k]) * x[k];
      size += std::fabs(static_cast<double>(values[(3 + i) * columns + k]) * x[k]);
    }
    CHECK(std::fabs(y[i] - sum) < 1e-5 * size);
  }
}

TEST_CASE("int8 rows decode to q8_0's values, and their products are those of the decoded rows") {
  const size_t rows = 9;
  for (size_t columns : {32, 64, 576, 2112}) {
    RandomInputs inputs(columns);
    const Int8Matrix matrix(rows, columns, random_blocks(inputs, rows * columns / 32, 34, {0}).data());
    const std::vector<float> values = decoded(matrix);
    std::vector<float> x = inputs.normal(columns), prepared(matrix.prepared_size()), y(7);
    matrix.prepare_vector(x.data(), prepared.data());
    matrix.row_dots(1, 7, prepared.data(), y.data());
    for (size_t i = 0; i < 7; ++i) {
      double sum = 0, size = 0;
      for (size_t k = 0; k < columns; ++k) {
        sum += static_cast<double>(values[(1 + i) * columns + k]) * x[k];
        size += std::fabs(static_cast<double>(values[(1 + i) * columns + k]) * x[k]);
      }
      CHECK(std::fabs(y[i] - sum) < 1e-4 * size);
    }
    x[columns / 2] = std::numeric_limits<float>::quiet_NaN();
    matrix.prepare_vector(x.data(), prepared.data());
    matrix.row_dots(0, 1, prepared.data(), y.data());
    CHECK(std::isnan(y[0]));
  }
}

TEST_CASE(
    "values that were q8_0 become the same again, others stay within half a step, what is not finite becomes NaN") {
  const size_t rows = 3, columns = 96;
  RandomInputs inputs(8);
  ThreadPool pool(2);
  std::vector<float> normal = inputs.normal(rows * columns);
  std::fill_n(normal.begin() + 32, 32, 0.0f);
  const auto matrix_of = [&](const std::vector<float>& values) {
    const DenseMatrix dense(*find_dense_format("f32"), rows, columns, reinterpret_cast<const uint8_t*>(values.data()));
    return Int8Matrix(rows, columns, encode_int8_blocks(dense, pool).data());
  };
  const std::vector<float> once = decoded(matrix_of(normal));
  CHECK(decoded(matrix_of(once)) == once);
  for (size_t first = 0; first < normal.size(); first += 32) {
    float largest = 0;
    for (size_t i = first; i < first + 32; ++i) largest = std::max(largest, std::fabs(normal[i]));
    for (size_t i = first; i < first + 32; ++i) CHECK(std::fabs(once[i] - normal[i]) <= 0.51f / 127 * largest);
  }
  normal[5] = std::numeric_limits<float>::quiet_NaN();
  normal[100] = std::numeric_limits<float>::infinity();
  const std::vector<float> broken = decoded(matrix_of(normal));
  CHECK(std::isnan(broken[0]));
  CHECK(std::isnan(broken[127]));
  CHECK(broken[64] == once[64]);
}

TEST_CASE("small codes of 1 to 8 bits survive packing, least significant bit first") {
  for (unsigned bits = 1; bits <= 8; ++bits) {
    for (size_t count : {0, 1, 3, 8, 77}) {
      const auto codes = RandomInputs(bits * 100 + count).integers<uint8_t>(count, 0, (1 << bits) - 1);
      std::vector<uint8_t> bytes(small_code_bytes(count, bits));
      std::vector<float> back(count);
      pack_small_codes(codes.data(), count, bits, bytes.data());
      for (InstructionSet set : present_sets()) {
        float_kernels(set).unpack_codes(bytes.data(), count, bits, back.data());
        CHECK(std::equal(back.begin(), back.end(), codes.begin()));
      }
      for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        const int expected = bit / bits < count ? codes[bit / bits] >> bit % bits & 1 : 0;
        REQUIRE((bytes[bit / 8] >> bit % 8 & 1) == expected);
      }
    }
  }
}

TEST_CASE("integer rounding is at least as good as rounding over the full range, and better with more bits") {
  const size_t rows = 6, columns = 100;
  for (size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    for (bool symmetric : {false, true}) {
      for (size_t group : {1, 7, 32, 100}) {
        double last = std::numeric_limits<double>::infinity();
        for (unsigned bits = symmetric ? 2 : 1; bits <= 8; ++bits) {
          INFO("bits ", bits, ", group ", group, ", symmetric ", symmetric);
          const std::vector<float> values = RandomInputs(17).normal(rows * columns);
          const IntegerSettings settings{bits, group, symmetric};
          const IntegerMatrix matrix(rows, columns, settings,
                                     encode_integer_rows(values.data(), rows, columns, settings, pool));
          const std::vector<float> back = decoded(matrix);
          const double error = squared_error(values, back);
          // The plain answer: scale from the largest magnitude, or the range.
          double plain = 0;
          for (size_t row = 0; row < rows; ++row) {
            for (size_t begin = 0; begin < columns; begin += group) {
              const size_t end = std::min(columns, begin + group);
              const auto [low, high] =
                  std::minmax_element(values.begin() + row * columns + begin, values.begin() + row * columns + end);
              const double middle = symmetric ? 1 << (bits - 1) : 0, top = (1 << bits) - 1;
              const double scale =
                  symmetric ? std::max(std::fabs(*low), std::fabs(*high)) / middle : (*high - *low) / top;
              const double minimum = symmetric ? 0 : *low;
              for (size_t i = begin; i < end; ++i) {
                const double w = values[row * columns + i];
                const double code =
                    scale == 0 ? 0 : std::clamp(std::nearbyint((w - minimum) / scale) + middle, 0.0, top);
                plain += std::pow(w - (scale * (code - middle) + minimum), 2);
              }
            }
          }
          // Scales in f16 cost a little where there is almost no error left.
          CHECK(error <= plain * 1.001 + 1e-5 * rows * columns);
          CHECK(error <= last + 1e-5 * rows * columns);
          last = error;
        }
      }
    }
  }
}

TEST_CASE("integer rounding keeps a row of equal values, and of zeros") {
  ThreadPool pool(1);
  for (bool symmetric : {false, true}) {
    for (float value : {0.0f, 0.75f, -0.5f}) {
      const std::vector<float> values(40, value);
      const IntegerSettings settings{4, 16, symmetric};
      const IntegerMatrix matrix(1, 40, settings, encode_integer_rows(values.data(), 1, 40, settings, pool));
      for (float back : decoded(matrix)) CHECK(back == doctest::Approx(value).epsilon(1e-3));
    }
  }
}

TEST_CASE("MXINT rounds each value to the nearest multiple of its block's unit") {
  const size_t rows = 5, columns = 45;
  for (unsigned bits = 2; bits <= 8; ++bits) {
    ThreadPool pool(2);
    std::vector<float> values = RandomInputs(bits).normal(rows * columns);
    for (size_t i = 0; i < columns; ++i) values[columns + i] *= 1e-20f;
    for (size_t i = 0; i < columns; ++i) values[2 * columns + i] *= 1e20f;
    std::fill_n(values.begin() + 3 * columns, columns, 0.0f);
    const MxintSettings settings{bits, 16};
    const MxintMatrix matrix(rows, columns, settings, encode_mxint_rows(values.data(), rows, columns, settings, pool));
    CHECK(matrix.bytes() == rows * small_code_bytes(columns, bits) + rows * 3);
    const std::vector<float> back = decoded(matrix);
    for (size_t row = 0; row < rows; ++row) {
      for (size_t begin = 0; begin < columns; begin += 16) {
        double largest = 0;
        const size_t end = std::min(columns, begin + 16);
        for (size_t i = begin; i < end; ++i) largest = std::max<double>(largest, std::fabs(values[row * columns + i]));
        // The largest magnitude of bits - 1 bits stands for almost twice the power of two below `largest`.
        const double unit = largest == 0 ? 0 : std::ldexp(1.0, std::ilogb(largest) - static_cast<int>(bits) + 2);
        for (size_t i = begin; i < end; ++i) {
          const double w = values[row * columns + i], q = back[row * columns + i];
          const double highest = unit * ((1 << (bits - 1)) - 1);
          REQUIRE(std::fabs(q) <= highest);
          if (std::fabs(w) <= highest) REQUIRE(std::fabs(w - q) <= unit / 2);
          if (std::fabs(w) > highest) REQUIRE(q == std::copysign(highest, w));
          if (unit > 0) REQUIRE(q / unit == std::nearbyint(q / unit));
        }
      }
    }
  }
}
