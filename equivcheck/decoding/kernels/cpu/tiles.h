// Products in bf16 on AMX: 16 weights by 16 rows of inputs at a time, 32 numbers of each.
//
// Weights are read as they lie; inputs are laid out in pairs first, which AMX wants of one side. A
// number of the result is one sum in ascending order, whoever shares its tile.
#pragma once
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "products.h"

#ifdef __AMX_BF16__
constexpr index SIDE = 16;            // Weights, or rows of inputs, of a tile.
constexpr index DEPTH = 32;           // Numbers of each: 64 bytes.
constexpr index FULL = SIDE * DEPTH;  // Numbers of a tile.

// Linux lends the tiles' registers to a process that asks.
static bool tiles_are_lent() {
  constexpr long REQUEST = 0x1023, TILE_DATA = 18;
  return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

struct TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
  TileShapes() {
    std::fill_n(row_bytes, 8, 64);
    std::fill_n(rows, 8, SIDE);
  }
};

// Inputs [rows, inner] in tiles: of each 16 rows and 32 numbers, [16 pairs, 16 rows, 2]. What is
// missing of a tile is 0.
static std::vector<bf16> in_pairs(const bf16* inputs, index rows, index inner) {
  const index groups = (rows + SIDE - 1) / SIDE, steps = (inner + DEPTH - 1) / DEPTH;
  std::vector<bf16> packed(groups * steps * FULL);
  for (index row = 0; row < rows; row++) {
    const bf16* from = inputs + row * inner;
    bf16* into = packed.data() + row / SIDE * steps * FULL + row % SIDE * 2;
    for (index k = 0; k < inner; k += 2)
      std::copy_n(from + k, std::min<index>(2, inner - k), into + k * SIDE);
  }
  return packed;
}

// Where a tile of up to 16 weights and 32 numbers of each lies, and how many bytes apart.
struct Weights {
  const bf16* at;
  index apart;

  // Those from `column` and `k` on; copied into `part` where they do not fill a tile.
  Weights(const bf16* weight, index column, index columns, index k, index inner, bf16* part)
      : at(weight + column * inner + k), apart(inner * sizeof(bf16)) {
    if (column + SIDE <= columns && k + DEPTH <= inner) return;
    std::fill_n(part, FULL, bf16{});
    for (index c = 0; c < std::min(SIDE, columns - column); c++)
      std::copy_n(at + c * inner, std::min(DEPTH, inner - k), part + c * DEPTH);
    at = part, apart = DEPTH * sizeof(bf16);
  }
};

// The sums of 16 weights and up to 16 rows, [weights, rows], to where they belong.
template <class Out>
static void put(const float* sums, const bf16* bias, Out* outputs, index row, index rows,
                index column, index columns) {
  const index width = std::min(SIDE, columns - column);
  const __m512i apart = _mm512_mullo_epi32(
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
      _mm512_set1_epi32(SIDE));
  vec added = bias ? load(bias + column, width) : _mm512_setzero_ps();
  for (index r = 0; r < std::min(SIDE, rows - row); r++) {
    vec found = _mm512_i32gather_ps(apart, sums + r, sizeof(float));
    store(outputs + (row + r) * columns + column, _mm512_add_ps(found, added), width);
  }
}

template <class Out>
static void linear_in_tiles(const bf16* inputs, const bf16* weight, const bf16* bias, Out* outputs,
                            index rows, index columns, index inner) {
  const index steps = (inner + DEPTH - 1) / DEPTH;
  const std::vector<bf16> packed = in_pairs(inputs, rows, inner);
#pragma omp parallel if (rows * columns * inner > ALONE)
  {
    const TileShapes shapes;
    _tile_loadconfig(&shapes);
    alignas(64) float sums[4][SIDE * SIDE];
    alignas(64) bf16 part[FULL];
#pragma omp for schedule(static)
    for (index column = 0; column < columns; column += 2 * SIDE)
      for (index row = 0; row < rows; row += 2 * SIDE) {
        const bool two_rows = row + SIDE < rows, two_columns = column + SIDE < columns;
        const bf16* near = packed.data() + row / SIDE * steps * FULL;
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (index step = 0; step < steps; step++) {
          const index k = step * DEPTH;
          const Weights first(weight, column, columns, k, inner, part);
          _tile_loadd(4, first.at, first.apart);
          _tile_loadd(6, near + step * FULL, DEPTH * sizeof(bf16));
          _tile_dpbf16ps(0, 4, 6);
          if (two_columns) {
            const Weights second(weight, column + SIDE, columns, k, inner, part);
            _tile_loadd(5, second.at, second.apart);
            _tile_dpbf16ps(1, 5, 6);
          }
          if (two_rows) {
            _tile_loadd(7, near + (steps + step) * FULL, DEPTH * sizeof(bf16));
            _tile_dpbf16ps(2, 4, 7);
            if (two_columns) _tile_dpbf16ps(3, 5, 7);
          }
        }
        _tile_stored(0, sums[0], SIDE * sizeof(float));
        _tile_stored(1, sums[1], SIDE * sizeof(float));
        _tile_stored(2, sums[2], SIDE * sizeof(float));
        _tile_stored(3, sums[3], SIDE * sizeof(float));
        put(sums[0], bias, outputs, row, rows, column, columns);
        if (two_columns) put(sums[1], bias, outputs, row, rows, column + SIDE, columns);
        if (two_rows) put(sums[2], bias, outputs, row + SIDE, rows, column, columns);
        if (two_rows && two_columns)
          put(sums[3], bias, outputs, row + SIDE, rows, column + SIDE, columns);
      }
    _tile_release();
  }
}
#endif
