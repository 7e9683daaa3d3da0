// The points of a pyramid (core/pvq/pyramid.h), numbered.
#pragma once

#include <cstdint>

namespace pyramidion {

class PointIndex {
 public:
  virtual ~PointIndex() = default;

  virtual uint64_t count() const = 0;
  virtual bool contains(const int16_t* point) const = 0;
  // point: D coordinates, contains(point).
  virtual uint64_t index_of(const int16_t* point) const = 0;
  // index < count().
  virtual void point_of(uint64_t index, int16_t* point) const = 0;
};

}  // namespace pyramidion
