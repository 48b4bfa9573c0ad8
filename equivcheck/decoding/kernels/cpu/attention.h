// Causal attention over a static cache: four queries at a time, over all that they see.
//
// What a query gets depends on itself and on what it sees: weights are summed in 16 lanes by the
// position of their key, so it matters neither where a cache ends nor who shares the tile.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "products.h"

constexpr index PARTS = 4;  // Vectors of a value that are summed at a time.

// Sizes and strides in numbers.
template <class T>
struct Attention {
  const T* queries;  // [windows, width, kv_heads * shared, size]
  const T* keys;     // [rows, positions, kv_heads, size], rows `row_stride` apart
  const T* values;
  const index* rows;       // [windows]: of the cache, or null: window i in row i
  const index* positions;  // [windows, width]: of the queries
  T* out;                  // as the queries
  index windows, width, kv_heads, shared, size, row_stride, position_count;
  index window;  // How many latest positions a query sees.
};

// Up to TILE queries of one window that share a key head, and the keys that any of them sees.
template <class T>
struct Queries {
  index count, begin, end;
  index first[TILE], last[TILE];  // Positions that a query sees.
  index place[TILE];              // In `queries` and `out`.
  const T *keys, *values;

  Queries(const Attention<T>& all, index window, index head, index from, index most)
      : count(most), begin(std::numeric_limits<index>::max()), end(0) {
    const index row = all.rows ? all.rows[window] : window;
    keys = all.keys + row * all.row_stride + head * all.size;
    values = all.values + row * all.row_stride + head * all.size;
    for (index q = 0; q < count; q++) {
      index slot = window * all.width + (from + q) / all.shared;
      index member = head * all.shared + (from + q) % all.shared;
      place[q] = (slot * all.kv_heads * all.shared + member) * all.size;
      last[q] = std::min(all.positions[slot], all.position_count - 1);
      first[q] = std::max<index>(0, last[q] - std::min(all.window, all.position_count) + 1);
      begin = std::min(begin, first[q]);
      end = std::max(end, last[q] + 1);
    }
    // From a multiple of the lanes on, so that a position's lane is its own.
    begin -= begin % LANES;
  }

  __mmask16 sees(index q, index key) const {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(begin + key)));
    return _mm512_cmple_epi32_mask(at, _mm512_set1_epi32(static_cast<int>(last[q]))) &
           _mm512_cmpge_epi32_mask(at, _mm512_set1_epi32(static_cast<int>(first[q])));
  }
};

// Room of one thread.
template <class T>
struct Scratch {
  std::vector<T> queries;      // [TILE, size]
  std::vector<float> weights;  // [TILE, span]
  index span;
};

// Products of queries and keys, over the root of their size.
template <class Kind, class T>
static void score(const Attention<T>& all, const Queries<T>& tile_of, Scratch<T>& room) {
  const index stride = all.kv_heads * all.size, keys = tile_of.end - tile_of.begin;
  const vec scale = _mm512_set1_ps(1.0f / std::sqrt(static_cast<float>(all.size)));
  for (index q = 0; q < tile_of.count; q++)
    std::copy_n(all.queries + tile_of.place[q], all.size, room.queries.data() + q * all.size);
  for (index key = 0; key < keys; key += TILE) {
    vec found = tile<Kind>(room.queries.data(), tile_of.count, all.size,
                           tile_of.keys + (tile_of.begin + key) * stride,
                           std::min(keys - key, TILE), stride, all.size);
    alignas(64) float numbers[LANES];
    _mm512_store_ps(numbers, _mm512_mul_ps(found, scale));
    for (index q = 0; q < tile_of.count; q++)
      std::copy_n(numbers + TILE * q, TILE, room.weights.data() + q * room.span + key);
  }
}

// Scores to weights, whose sum is returned in every lane; what a query does not see weighs 0.
template <class T>
static vec weigh(const Queries<T>& tile_of, index q, Scratch<T>& room) {
  float* weights = room.weights.data() + q * room.span;
  vec most = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  vec sum = _mm512_setzero_ps();
  for (index key = 0; key < room.span; key += LANES)
    most = _mm512_mask_max_ps(most, tile_of.sees(q, key), most, _mm512_loadu_ps(weights + key));
  const vec peak = _mm512_set1_ps(_mm512_reduce_max_ps(most));
  for (index key = 0; key < room.span; key += LANES) {
    vec weight = exponential(_mm512_sub_ps(_mm512_loadu_ps(weights + key), peak));
    weight = _mm512_maskz_mov_ps(tile_of.sees(q, key), weight);
    sum = _mm512_add_ps(sum, weight);
    _mm512_storeu_ps(weights + key, weight);
  }
  return _mm512_set1_ps(_mm512_reduce_add_ps(sum));
}

// Values summed by their weights, from dimension `from` on.
template <class T>
static void mix(const Attention<T>& all, const Queries<T>& tile_of, const vec* totals, index from,
                const Scratch<T>& room) {
  vec mixed[TILE][PARTS];
  for (auto& query : mixed)
    for (vec& sum : query) sum = _mm512_setzero_ps();
  for (index key = 0; key < tile_of.end - tile_of.begin; key++) {
    const T* value = tile_of.values + (tile_of.begin + key) * all.kv_heads * all.size + from;
    vec read[PARTS];
    for (index i = 0; i < PARTS; i++) {
      index left = all.size - from - LANES * i;
      read[i] = left > 0 ? load(value + LANES * i, left) : _mm512_setzero_ps();
    }
    for (index q = 0; q < TILE; q++) {
      vec weight = _mm512_set1_ps(q < tile_of.count ? room.weights[q * room.span + key] : 0.0f);
      for (index i = 0; i < PARTS; i++) mixed[q][i] = _mm512_fmadd_ps(weight, read[i], mixed[q][i]);
    }
  }
  for (index q = 0; q < tile_of.count; q++)
    for (index at = from, i = 0; i < PARTS && at < all.size; at += LANES, i++)
      store(all.out + tile_of.place[q] + at, _mm512_div_ps(mixed[q][i], totals[q]), all.size - at);
}

template <class Kind>
static void attend(const Attention<typename Kind::number>& all) {
  using T = typename Kind::number;
  const index queries = all.width * all.shared, tiles = (queries + TILE - 1) / TILE;
#pragma omp parallel
  {
    Scratch<T> room{std::vector<T>(TILE * all.size), {}, 0};
#pragma omp for schedule(static)
    for (index task = 0; task < all.windows * all.kv_heads * tiles; task++) {
      const index from = task % tiles * TILE, group = task / tiles;
      const Queries<T> tile_of(all, group / all.kv_heads, group % all.kv_heads, from,
                               std::min(TILE, queries - from));
      room.span = (tile_of.end - tile_of.begin + LANES - 1) / LANES * LANES;
      room.weights.resize(std::max<size_t>(room.weights.size(), TILE * room.span));
      score<Kind>(all, tile_of, room);
      vec totals[TILE];
      for (index q = 0; q < tile_of.count; q++) totals[q] = weigh(tile_of, q, room);
      for (index size = 0; size < all.size; size += PARTS * LANES)
        mix(all, tile_of, totals, size, room);
    }
  }
}
