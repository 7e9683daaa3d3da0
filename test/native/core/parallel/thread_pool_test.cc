#include "core/parallel/thread_pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/parallel/read_bandwidth.h"
#include "core/parallel/usable_cores.h"

using pyramidion::ThreadPool;

TEST_CASE("parallel_for visits every item exactly once, in ranges no longer than the grain") {
  for (size_t threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (size_t count : {0, 1, 2, 7, 64, 1001}) {
      for (size_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> visits(count);
        std::atomic<bool> too_long{false};
        pool.parallel_for(count, grain, [&](size_t begin, size_t end) {
          if (end - begin > grain || begin >= end) too_long = true;
          for (size_t i = begin; i < end; ++i) visits[i].fetch_add(1);
        });
        CHECK_FALSE(too_long);
        for (size_t i = 0; i < count; ++i) REQUIRE(visits[i] == 1);
      }
    }
  }
}

TEST_CASE("the first exception of a body reaches the caller and the pool stays usable") {
  ThreadPool pool(3);
  for (int repeat = 0; repeat < 50; ++repeat) {
    CHECK_THROWS_AS(pool.parallel_for(100, 1,
                                      [](size_t begin, size_t) {
                                        if (begin % 7 == 3) throw std::runtime_error("body");
                                      }),
                    std::runtime_error);
    std::atomic<size_t> sum{0};
    pool.parallel_for(100, 1, [&](size_t begin, size_t) { sum += begin; });
    CHECK(sum == 4950);
  }
}

TEST_CASE("calls from inside a body run on the calling thread") {
  ThreadPool pool(3);
  std::atomic<size_t> total{0};
  std::atomic<bool> moved{false};
  pool.parallel_for(8, 1, [&](size_t, size_t) {
    const auto self = std::this_thread::get_id();
    pool.parallel_for(10, 2, [&](size_t begin, size_t end) {
      if (std::this_thread::get_id() != self) moved = true;
      total += end - begin;
    });
  });
  CHECK(total == 80);
  CHECK_FALSE(moved);
}

TEST_CASE("several threads may use one pool at once while it is resized") {
  ThreadPool pool(2);
  std::vector<std::thread> callers;
  std::atomic<size_t> total{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 200; ++repeat) {
        pool.parallel_for(37, 2, [&](size_t begin, size_t end) { total += end - begin; });
      }
    });
  }
  for (size_t threads : {1, 4, 2, 3}) pool.resize(threads);
  for (std::thread& caller : callers) caller.join();
  CHECK(total == 4 * 200 * 37);
  CHECK(pool.size() == 3);
}

TEST_CASE("at least one core is usable") { CHECK(pyramidion::usable_cores() >= 1); }

TEST_CASE("memory is read at a rate that memory has") {
  ThreadPool pool(2);
  const double rate = pyramidion::read_bandwidth(pool);
  CHECK(rate > 1e7);
  CHECK(rate < 1e14);
}
