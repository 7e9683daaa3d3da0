#include "core/pvq/pyramid_cache.h"

namespace pyramidion {
namespace {

// The tables of `key`, from `make` when nobody holds any.
template <class Map, class Make>
auto shared(Map& known, const typename Map::key_type& key, const Make& make) {
  for (auto entry = known.begin(); entry != known.end();) {
    entry = entry->second.expired() ? known.erase(entry) : std::next(entry);
  }
  auto& entry = known[key];
  auto tables = entry.lock();
  if (!tables) entry = tables = make();
  return tables;
}

}  // namespace

std::shared_ptr<const PyramidTables> PyramidCache::tables(int dimension, int pulses) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!quads_) quads_ = std::make_shared<const QuadTable>(QuadTable::pyramids());
  return shared(tables_, {dimension, pulses},
                [&] { return std::make_shared<const PyramidTables>(dimension, pulses, quads_); });
}

std::shared_ptr<const BarnesWallTables> PyramidCache::barnes_wall(int pulses) {
  // Checks the pulses before their half is used.
  BarnesWallIndex index(pulses);
  std::shared_ptr<const PyramidTables> halved = tables(BarnesWallIndex::dimension, pulses / 2);
  std::lock_guard<std::mutex> lock(mutex_);
  if (!odd_quads_) odd_quads_ = std::make_shared<const QuadTable>(QuadTable::odd_magnitudes());
  return shared(barnes_wall_, pulses, [&] {
    return std::make_shared<const BarnesWallTables>(std::move(index), std::move(halved), odd_quads_);
  });
}

}  // namespace pyramidion
