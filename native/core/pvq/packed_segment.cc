#include "core/pvq/packed_segment.h"

#include <algorithm>
#include <cmath>

#include "core/pvq/patched_rows.h"
#include "core/pvq/residue_rows.h"

namespace pyramidion {
namespace {

template <class Rows>
std::unique_ptr<const GroupFactors> factors_of_symbols(PvqCode code, const Rows& rows) {
  code.levels = rows.symbol_levels(code.levels);
  return std::make_unique<GroupFactors>(code);
}

}  // namespace

template <class Rows>
PackedSegment<Rows>::PackedSegment(const PvqCode& code, MemoryLayout layout, Rows rows, InstructionSet set)
    : DecodedSegment(code, set),
      layout_(layout),
      rows_(std::move(rows)),
      kernel_(packed_product_kernel<Rows>(set)),
      factors_(factors_of_symbols(code, rows_)) {}

template <class Rows>
void PackedSegment<Rows>::set_levels(const float* levels) {
  DecodedSegment::set_levels(levels);
  factors_ = factors_of_symbols(code_, rows_);
}

template <class Rows>
void PackedSegment<Rows>::accumulate(size_t first, size_t count, const SegmentTokens& tokens, float* lanes) const {
  if (tokens.count == 1) return kernel_.accumulate(rows_, *factors_, first, count, tokens, lanes);
  DecodedSegment::accumulate(first, count, tokens, lanes);
}

template <class Rows>
void PackedSegment<Rows>::decode(size_t row, float scale, float* out) const {
  const size_t dimension = static_cast<size_t>(code_.dimension);
  AlignedBuffer<uint8_t> pulses(blocks_of(code_) * block_groups * dimension);
  std::vector<uint16_t> levels(blocks_of(code_) * block_groups);
  decode_pulses(row, pulses.data(), levels.data());
  for (size_t g = 0; g < code_.groups; ++g) {
    const uint8_t* lane = pulses.data() + g / block_groups * block_groups * dimension + g % block_groups * 4;
    const auto pulse = [lane](size_t i) { return static_cast<float>(lane[i / 4 * 64 + i % 4] - 128); };
    float square = 0;
    for (size_t i = 0; i < dimension; ++i) square += pulse(i) * pulse(i);
    const float factor = scale * code_.levels[levels[g]] / std::sqrt(square);
    for (size_t i = 0; i < std::min(dimension, code_.columns - g * dimension); ++i) {
      out[g * dimension + i] = pulse(i) * factor;
    }
  }
}

template <class Rows>
void PackedSegment<Rows>::levels_of(size_t row, uint32_t* levels) const {
  AlignedBuffer<uint8_t> pulses(blocks_of(code_) * block_groups * static_cast<size_t>(code_.dimension));
  std::vector<uint16_t> all(blocks_of(code_) * block_groups);
  decode_pulses(row, pulses.data(), all.data());
  std::copy_n(all.begin(), code_.groups, levels);
}

template class PackedSegment<ResidueRows>;
template class PackedSegment<PatchedRows>;

}  // namespace pyramidion
