// The tables of each pyramid, shared by all matrices that use it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "core/pvq/barnes_wall_tables.h"
#include "core/pvq/pyramid_tables.h"

namespace pyramidion {

// Tables that nobody holds any more are forgotten. Thread-safe.
class PyramidCache {
 public:
  // Throws what PyramidCounts throws.
  std::shared_ptr<const PyramidTables> tables(int dimension, int pulses);
  // Throws what BarnesWallIndex throws.
  std::shared_ptr<const BarnesWallTables> barnes_wall(int pulses);

 private:
  std::mutex mutex_;
  std::shared_ptr<const QuadTable> quads_, odd_quads_;
  std::map<std::pair<int, int>, std::weak_ptr<const PyramidTables>> tables_;
  std::map<int, std::weak_ptr<const BarnesWallTables>> barnes_wall_;
};

}  // namespace pyramidion
