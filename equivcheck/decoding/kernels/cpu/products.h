// Products of few rows with a weight that is read once, as it lies: [columns, inner].
//
// A number of the result is 16 sums in ascending order, added pairwise. It does not depend on which
// rows and columns share its tile, nor on the number of threads.
#pragma once
#include "vector.h"

constexpr index TILE = 4;          // Rows and columns of one: 16 sums.
constexpr index BLOCK = 4 * TILE;  // Columns that are near while all rows pass by.
constexpr index ALONE = 1 << 15;   // Multiplications that are not worth waking a thread for.

// The sums of 16 vectors, that of vector i in lane i.
static inline vec sums_of(const vec* sums) {
  vec eights[8], fours[4], twos[2];
  for (int i = 0; i < 8; i++)
    eights[i] = _mm512_add_ps(_mm512_shuffle_f32x4(sums[i], sums[i + 8], 0x44),
                              _mm512_shuffle_f32x4(sums[i], sums[i + 8], 0xee));
  for (int i = 0; i < 4; i++)
    fours[i] = _mm512_add_ps(_mm512_shuffle_f32x4(eights[i], eights[i + 4], 0x88),
                             _mm512_shuffle_f32x4(eights[i], eights[i + 4], 0xdd));
  for (int i = 0; i < 2; i++)
    twos[i] = _mm512_add_ps(_mm512_shuffle_ps(fours[i], fours[i + 2], 0x44),
                            _mm512_shuffle_ps(fours[i], fours[i + 2], 0xee));
  vec sum = _mm512_add_ps(_mm512_shuffle_ps(twos[0], twos[1], 0x88),
                          _mm512_shuffle_ps(twos[0], twos[1], 0xdd));
  const __m512i order = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
  return _mm512_permutexvar_ps(order, sum);
}

// Adds the products of up to STEP numbers.
struct Singles {
  using number = float;
  static constexpr index STEP = 16;
  using piece = vec;
  static piece read(const float* from) { return _mm512_loadu_ps(from); }
  static piece read(const float* from, index n) { return load(from, n); }
  static vec add(vec sum, piece one, piece other) { return _mm512_fmadd_ps(one, other, sum); }
};

#ifdef __AVX512BF16__
struct Halves {
  using number = bf16;
  static constexpr index STEP = 32;
  using piece = __m512bh;
  static piece read(const bf16* from) { return (__m512bh)_mm512_loadu_si512(from); }
  static piece read(const bf16* from, index n) {
    return (__m512bh)_mm512_maskz_loadu_epi16((1u << n) - 1, from);
  }
  static vec add(vec sum, piece one, piece other) { return _mm512_dpbf16_ps(sum, one, other); }
};
#endif

// The products of ROWS by COLUMNS vectors of `inner` numbers; that of row r and column c in lane
// TILE * r + c. Strides are in numbers. `ahead`: fetch what the next COLUMNS columns read.
template <class Kind, int ROWS, int COLUMNS>
static inline vec tile(const typename Kind::number* rows, index row_stride,
                       const typename Kind::number* columns, index column_stride, index inner,
                       bool ahead) {
  vec sums[TILE * TILE];
  for (vec& sum : sums) sum = _mm512_setzero_ps();
  auto step = [&](index k, auto... left) {
    typename Kind::piece column[COLUMNS];
    for (int c = 0; c < COLUMNS; c++)
      column[c] = Kind::read(columns + c * column_stride + k, left...);
    for (int r = 0; r < ROWS; r++) {
      typename Kind::piece row = Kind::read(rows + r * row_stride + k, left...);
      for (int c = 0; c < COLUMNS; c++)
        sums[TILE * r + c] = Kind::add(sums[TILE * r + c], row, column[c]);
    }
  };
  index k = 0;
  for (; k + Kind::STEP <= inner; k += Kind::STEP) {
    if (ahead)
      for (int c = 0; c < COLUMNS; c++)
        _mm_prefetch(reinterpret_cast<const char*>(columns + (c + COLUMNS) * column_stride + k),
                     _MM_HINT_T0);
    step(k);
  }
  if (k < inner) step(k, inner - k);
  return sums_of(sums);
}

// The same for fewer rows or columns than the tile has.
template <class Kind>
static inline vec tile(const typename Kind::number* rows, index row_count, index row_stride,
                       const typename Kind::number* columns, index column_count,
                       index column_stride, index inner, bool ahead = false) {
#define OF(R, C) tile<Kind, R, C>(rows, row_stride, columns, column_stride, inner, ahead)
  if (column_count >= TILE) switch (row_count) {
      case 1:
        return OF(1, 4);
      case 2:
        return OF(2, 4);
      case 3:
        return OF(3, 4);
      default:
        return OF(4, 4);
    }
#undef OF
  vec found = _mm512_setzero_ps();
  for (index r = 0; r < row_count; r++)
    for (index c = 0; c < column_count; c++) {
      vec one = tile<Kind, 1, 1>(rows + r * row_stride, row_stride, columns + c * column_stride,
                                 column_stride, inner, false);
      found = _mm512_mask_mov_ps(found, 1u << (TILE * r + c),
                                 _mm512_broadcastss_ps(_mm512_castps512_ps128(one)));
    }
  return found;
}

template <class Kind, class Out>
static void linear(const typename Kind::number* inputs, const typename Kind::number* weight,
                   const typename Kind::number* bias, Out* outputs, index rows, index columns,
                   index inner) {
#pragma omp parallel for schedule(static) if (rows * columns * inner > ALONE)
  for (index block = 0; block < columns; block += BLOCK)
    for (index row = 0; row < rows; row += TILE)
      for (index column = block; column < block + BLOCK && column < columns; column += TILE) {
        index height = rows - row < TILE ? rows - row : TILE;
        index width = columns - column < TILE ? columns - column : TILE;
        // A prefetch behind the last weight does nothing, as it may not fault.
        vec found = tile<Kind>(inputs + row * inner, height, inner, weight + column * inner, width,
                               inner, inner, !row);
        vec added = bias ? load(bias + column, width) : _mm512_setzero_ps();
        alignas(64) float numbers[LANES];
        _mm512_store_ps(numbers, found);
        for (index r = 0; r < height; r++) {
          vec sum = load(numbers + TILE * r, width);
          store(outputs + (row + r) * columns + column, _mm512_add_ps(sum, added), width);
        }
      }
}
