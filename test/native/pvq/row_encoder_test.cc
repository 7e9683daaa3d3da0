#include "core/pvq/row_encoder.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "core/error.h"
#include "core/matrix/half.h"
#include "core/pvq/gain_levels.h"
#include "core/pvq/pyramid_search.h"
#include "cpu/pvq_search/dispatch.h"
#include "random.h"
#include "reference_decoder.h"

using namespace pyramidion;

namespace {

PvqLayout one_segment(size_t columns, const Pyramid& pyramid, size_t levels, PyramidCache& cache) {
  const ProjectionLaw law(pyramid, columns, pvq_search_kernel().search);
  return PvqLayout(columns, {{columns, pyramid.dimension, pyramid.pulses, law.levels(levels), pyramid.lattice}}, cache);
}

double relative_error(const std::vector<float>& values, const std::vector<double>& decoded) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += (values[i] - decoded[i]) * (values[i] - decoded[i]);
    norm += static_cast<double>(values[i]) * values[i];
  }
  return error / norm;
}

}  // namespace

TEST_CASE("encoded Gaussian rows decode to the error that the code promises") {
  const uint64_t seed = 31;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  ThreadPool pool(2);
  for (const auto& [pyramid, levels] : {std::pair<Pyramid, size_t>{{2, 5}, 3},
                                        {{4, 7}, 4},
                                        {{8, 12}, 7},
                                        {{8, 474}, 40},
                                        {{16, 24}, 7},
                                        {{32, 21}, 4},
                                        {{16, 40, Lattice::barnes_wall}, 8},
                                        {{16, 82, Lattice::barnes_wall}, 14}}) {
    INFO("D ", pyramid.dimension, " K ", pyramid.pulses, " L ", levels);
    const size_t rows = 60, columns = 1024;
    const std::vector<float> values = random.gaussians(rows * columns);
    const PvqLayout layout = one_segment(columns, pyramid, levels, cache);
    const PvqRows encoded = encode_rows(values.data(), rows, layout, pvq_search_kernel().find, pool, JobControl());
    CHECK(first_invalid_row(layout, encoded.codes.data(), rows) == -1);
    const ProjectionLaw law(pyramid, columns, pvq_search_kernel().search);
    const double promised = law.relative_error(layout.codes[0].levels);
    CHECK(relative_error(values, reference_decode(layout, encoded.codes, encoded.row_scale)) ==
          doctest::Approx(promised).epsilon(0.03));
  }
}

TEST_CASE("rows come out the same from every instruction set and any number of threads") {
  const uint64_t seed = 32;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  ThreadPool one(1), three(3);
  for (const auto& [pyramid, levels] : {std::pair<Pyramid, size_t>{{16, 24}, 7}, {{16, 40, Lattice::barnes_wall}, 8}}) {
    for (size_t columns : {1, 2, 7, 9, 31, 33, 100, 576}) {
      const size_t rows = 400;
      const std::vector<float> values = random.gaussians(rows * columns);
      const PvqLayout layout = one_segment(columns, pyramid, levels, cache);
      const PvqRows expected = encode_rows(values.data(), rows, layout, find_points, one, JobControl());
      for (const PvqSearchKernel& kernel : pvq_search_kernels()) {
        if (kernel.instruction_set > supported_instruction_set()) continue;
        const PvqRows encoded = encode_rows(values.data(), rows, layout, kernel.find, three, JobControl());
        CHECK(encoded.codes == expected.codes);
        CHECK(encoded.row_scale == expected.row_scale);
      }
    }
  }
}

TEST_CASE("rows of any magnitude that f16 can scale keep their relative error") {
  const uint64_t seed = 33;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  ThreadPool pool(1);
  const size_t columns = 576;
  const PvqLayout layout = one_segment(columns, {8, 12}, 7, cache);
  const std::vector<float> unit = random.gaussians(columns);
  for (float magnitude : {6e4f, 1.0f, 1e-4f, 6e-5f, 1e-5f}) {
    std::vector<float> values = unit;
    for (float& value : values) value *= magnitude;
    const PvqRows encoded = encode_rows(values.data(), 1, layout, find_points, pool, JobControl());
    INFO("magnitude ", magnitude);
    CHECK(relative_error(values, reference_decode(layout, encoded.codes, encoded.row_scale)) < 0.032);
  }
}

TEST_CASE("rows of zeros, and rows below what f16 can scale, decode to zeros") {
  PyramidCache cache;
  ThreadPool pool(1);
  const size_t columns = 33;
  const PvqLayout layout = one_segment(columns, {8, 12}, 7, cache);
  for (float value : {0.0f, -0.0f, 1e-9f, std::numeric_limits<float>::denorm_min()}) {
    const std::vector<float> values(columns, value);
    const PvqRows encoded = encode_rows(values.data(), 1, layout, find_points, pool, JobControl());
    CHECK(encoded.row_scale[0] == 0);
    CHECK(encoded.codes == std::vector<uint8_t>(layout.row_bytes, 0));
  }
}

TEST_CASE("two segments with codes of their own share the row's scale") {
  const uint64_t seed = 34;
  INFO("seed ", seed);
  Random random(seed);
  PyramidCache cache;
  ThreadPool pool(2);
  const size_t rows = 50, columns = 1000;
  const std::vector<float> values = random.gaussians(rows * columns);
  const std::vector<float> coarse = ProjectionLaw({16, 24}, columns, search_points).levels(7);
  const std::vector<float> fine = ProjectionLaw({8, 25}, columns, search_points).levels(13);
  const PvqLayout layout(columns, {{480, 16, 24, coarse}, {520, 8, 25, fine}}, cache);
  CHECK(layout.row_bytes == 30 * 48 / 8 + 65 * 32 / 8);
  const PvqRows encoded = encode_rows(values.data(), rows, layout, pvq_search_kernel().find, pool, JobControl());
  CHECK(relative_error(values, reference_decode(layout, encoded.codes, encoded.row_scale)) ==
        doctest::Approx((480 * 0.0249 + 520 * 0.0068) / 1000).epsilon(0.05));
}

TEST_CASE("values that no code can stand for are refused before any work") {
  PyramidCache cache;
  ThreadPool pool(1);
  const PvqLayout layout = one_segment(8, {8, 12}, 7, cache);
  int32_t words[2] = {0, 0};
  const auto refused = [&](float value, const char* code) {
    std::vector<float> values(3 * 8, 1);
    values[13] = value;
    try {
      encode_rows(values.data(), 3, layout, find_points, pool, JobControl(words));
    } catch (const Error& error) {
      return std::string(error.code()) == code && std::string(error.what()).find("row 1") != std::string::npos;
    }
    return false;
  };
  CHECK(refused(std::numeric_limits<float>::quiet_NaN(), "NOT_FINITE"));
  CHECK(refused(-std::numeric_limits<float>::infinity(), "NOT_FINITE"));
  CHECK(refused(1e30f, "INVALID_ARGUMENT"));
  CHECK(words[1] == 0);
}

TEST_CASE("a request to stop ends the encoding with ABORTED") {
  PyramidCache cache;
  ThreadPool pool(2);
  const PvqLayout layout = one_segment(8, {8, 12}, 7, cache);
  int32_t words[2] = {1, 0};
  const std::vector<float> values(80, 1);
  CHECK_THROWS_WITH_AS(encode_rows(values.data(), 10, layout, find_points, pool, JobControl(words)),
                       "the operation was aborted", Error);
}

TEST_CASE("layouts that do not describe a row are refused") {
  PyramidCache cache;
  const std::vector<float> levels = {2, 3};
  CHECK_THROWS_AS(PvqLayout(8, {}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(8, {{7, 8, 6, levels}}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(8, {{9, 8, 6, levels}}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(16, {{7, 8, 6, levels}, {9, 8, 6, levels}}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(8, {{8, 3, 6, levels}}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(8, {{8, 1, 6, levels}}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(8, {{8, 8, 0, levels}}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(8, {{8, 8, 6, {}}}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(8, {{8, 8, 6, {3, 2}}}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(8, {{8, 8, 6, {std::numeric_limits<float>::infinity()}}}, cache), Error);
  CHECK_THROWS_AS(PvqLayout(16, {{16, 16, 49, std::vector<float>(15, 4)}}, cache), Error);
  CHECK(PvqLayout(16, {{16, 16, 49, std::vector<float>(14, 4)}}, cache).codes[0].bits == 64);
}
