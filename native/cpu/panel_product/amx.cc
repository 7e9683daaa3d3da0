// Products of panels by AMX tiles of int8 (Sapphire Rapids and later): 16 tokens, 16 rows, one group an instruction.
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu/expanded_product/shapes.h"
#include "cpu/panel_product/dispatch.h"
#include "cpu/panel_product/fill_panel.h"
#include "cpu/panel_product/tile_unit.h"

namespace pyramidion {
namespace {

// What ldtilecfg reads (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, LDTILECFG).
struct TileConfiguration {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfiguration) == 64, "the format of the processor");

// Linux saves the tiles' registers only for a process that has asked it to (arch_prctl: ARCH_REQ_XCOMP_PERM,
// XFEATURE_XTILEDATA).
bool tiles_permitted() {
  static const bool permitted = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return permitted;
}

// Tile registers: 0 the tokens, 1 and 2 the rows, 3 and 4 their products.
class AmxTiles {
 public:
  explicit AmxTiles(size_t depth) {
    TileConfiguration configuration = {};
    configuration.palette = 1;
    const auto shape = [&](int tile, size_t rows, size_t bytes) {
      configuration.rows[tile] = static_cast<uint8_t>(rows);
      configuration.row_bytes[tile] = static_cast<uint16_t>(bytes);
    };
    shape(0, 16, depth);
    for (int half = 0; half < 2; ++half) {
      shape(1 + half, depth / 4, 64);
      shape(3 + half, 16, 64);
    }
    _tile_loadconfig(&configuration);
  }
  ~AmxTiles() { _tile_release(); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

  void products(const int8_t* a, size_t a_stride, const int8_t* b, size_t b_stride, int32_t* c) {
    // What a and b point to has been written: the intrinsics do not say that they read it.
    __asm__ volatile("" ::: "memory");
    _tile_loadd(0, a, static_cast<long>(a_stride));
    _tile_loadd(1, b, 64);
    _tile_loadd(2, b + b_stride, 64);
    _tile_zero(3);
    _tile_zero(4);
    _tile_dpbssd(3, 0, 1);
    _tile_dpbssd(4, 0, 2);
    _tile_stored(3, c, 64);
    _tile_stored(4, c + 256, 64);
    __asm__ volatile("" ::: "memory");
  }
};

void fill(const ExpandedRows& rows, size_t groups, size_t first, size_t count, uint8_t* part) {
  with_shape(rows, [&](auto shape) {
    using Shape = decltype(shape);
    // From p + 128 to p.
    fill_panel<Shape::quads, Shape::words>(rows, groups, first, count, 128, part);
  });
}

void multiply(const PanelPart* parts, size_t part_count, const PanelTokens* tokens, size_t token_count, float* sums) {
  TileUnit<AmxTiles> unit;
  multiply_panel(unit, parts, part_count, tokens, token_count, sums);
}

}  // namespace

bool amx_usable() { return has_extension("amx-tile") && has_extension("amx-int8") && tiles_permitted(); }

extern const PanelKernel panel_amx = {InstructionSet::avx512, fill, multiply};

}  // namespace pyramidion
#endif
