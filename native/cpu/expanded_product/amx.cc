// Products by AMX tiles of int8 (Sapphire Rapids and later): 16 rows, 16 tokens, one group an instruction.
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu/expanded_product/avx512_blocks.h"
#include "cpu/expanded_product/dispatch.h"
#include "cpu/expanded_product/shapes.h"
#include "cpu/expanded_product/tile_product.h"

namespace pyramidion {

extern const ExpandedProductKernel expanded_product_avx512;

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

class Amx {
 public:
  explicit Amx(size_t depth) : depth_(static_cast<long>(depth)) {
    TileConfiguration configuration = {};
    configuration.palette = 1;
    const auto shape = [&](int tile, size_t rows, size_t bytes) {
      configuration.rows[tile] = static_cast<uint8_t>(rows);
      configuration.row_bytes[tile] = static_cast<uint16_t>(bytes);
    };
    // Products, rows and tokens of one group, and of the next.
    for (int tile : {0, 3}) {
      shape(tile, tile_rows, 64);
      shape(tile + 1, tile_rows, depth);
      shape(tile + 2, depth / 4, 64);
    }
    _tile_loadconfig(&configuration);
  }
  ~Amx() { _tile_release(); }
  Amx(const Amx&) = delete;
  Amx& operator=(const Amx&) = delete;

  void products(const int8_t* a, const int8_t* b, size_t count, int32_t* c) {
    // What a and b point to has been written: the intrinsics do not say that they read it.
    __asm__ volatile("" ::: "memory");
    _tile_zero(0);
    _tile_loadd(1, a, depth_);
    _tile_loadd(2, b, 64);
    _tile_dpbssd(0, 1, 2);
    if (count > 1) {
      _tile_zero(3);
      _tile_loadd(4, a + depth_ * 16, depth_);
      _tile_loadd(5, b + depth_ * 16, 64);
      _tile_dpbssd(3, 4, 5);
      _tile_stored(3, c + tile_rows * tile_tokens, 64);
    }
    _tile_stored(0, c, 64);
    __asm__ volatile("" ::: "memory");
  }

  template <int Quads, bool Words>
  class Cursor {
   public:
    Cursor(const ExpandedRows& rows, size_t row) : rows_(rows), factors_(*rows.factors), blocks_(rows, row) {}

    void next(int8_t* pulses, float* factors) {
      blocks_.next(rows_, factors_, block_++, [&](const Pulses<Quads>& block, __m512 factor, auto offset) {
        const __m512i less = _mm512_set1_epi8(static_cast<char>(1 << offset));
        for (int q = 0; q < Quads; ++q) _mm512_store_si512(pulses + q * 64, _mm512_sub_epi8(block.u[q], less));
        _mm512_store_ps(factors, factor);
      });
    }

   private:
    const ExpandedRows& rows_;
    FactorReader factors_;
    BlockCursor<Quads, Words> blocks_;
    size_t block_ = 0;
  };

 private:
  long depth_;
};

void accumulate(const ExpandedRows& rows, size_t first, size_t count, const SegmentTokens& tokens, float* lanes) {
  size_t done = 0;
  if (tokens.tiles != nullptr) {
    with_shape(rows, [&](auto shape) {
      using Shape = decltype(shape);
      // Groups of four bytes would leave nearly all of a tile empty.
      if constexpr (Shape::quads > 1) {
        done = accumulate_tiles<Amx, Shape::quads, Shape::words>(rows, first, count, tokens, lanes);
      }
    });
  }
  expanded_product_avx512.accumulate(rows, first + done, count - done, tokens,
                                     lanes + done * tokens.count * block_groups);
}

}  // namespace

bool amx_usable() { return has_extension("amx-tile") && has_extension("amx-int8") && tiles_permitted(); }

extern const ExpandedProductKernel expanded_product_amx;
const ExpandedProductKernel expanded_product_amx = {InstructionSet::avx512, has_factor_table, accumulate};

}  // namespace pyramidion
#endif
