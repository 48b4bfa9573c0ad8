// Causal attention over a static cache, a tile of queries and all that they see at a time.
//
// What a query gets depends on itself and on what it sees: keys are summed up in 16 lanes by their
// position, so it matters neither where a cache ends nor who shares the tile.
#pragma once
#include <cmath>
#include <limits>
#include <vector>

#include "products.h"

constexpr index DIMENSIONS = 4 * LANES;  // Of values that are summed at a time.

// Sizes and strides in numbers.
template <class T>
struct Attention {
  const T* queries;  // [windows, width, kv_heads * shared, size]
  const T* keys;  // [rows, positions, kv_heads, size], rows `row_stride` apart
  const T* values;
  const index* rows;  // [windows]: of the cache, or null: window i in row i
  const index* positions;  // [windows, width]: of the queries
  T* out;  // as the queries
  index windows, width, kv_heads, shared, size, row_stride, position_count;
  index window;  // How many latest positions a query sees.
};

// One tile: up to TILE queries of one window and key head, by their numbers in window and group.
template <class Kind>
static void attend_tile(const Attention<typename Kind::number>& all, index window, index head,
                        index from, index count, std::vector<float>& scores) {
  using T = typename Kind::number;
  const index stride = all.kv_heads * all.size;
  const index row = all.rows ? all.rows[window] : window;
  const T* keys = all.keys + row * all.row_stride + head * all.size;
  const T* values = all.values + row * all.row_stride + head * all.size;
  T gathered[TILE * 1024];
  index last[TILE], first_seen[TILE], place[TILE], begin = std::numeric_limits<index>::max();
  index end = 0;
  for (index q = 0; q < count; q++) {
    index slot = (from + q) / all.shared, member = (from + q) % all.shared;
    place[q] = ((window * all.width + slot) * all.kv_heads * all.shared + head * all.shared +
                member) * all.size;
    for (index i = 0; i < all.size; i++) gathered[q * all.size + i] = all.queries[place[q] + i];
    last[q] = all.positions[window * all.width + slot];
    first_seen[q] = last[q] >= all.window ? last[q] - all.window + 1 : 0;
    if (first_seen[q] < begin) begin = first_seen[q];
    if (last[q] >= all.position_count) last[q] = all.position_count - 1;
    if (last[q] + 1 > end) end = last[q] + 1;
  }
  // From a multiple of the lanes on, so that a position's lane is its own.
  begin -= begin % LANES;
  const index span = (end - begin + LANES - 1) / LANES * LANES;
  if (static_cast<index>(scores.size()) < TILE * span) scores.resize(TILE * span);
  const vec scale = _mm512_set1_ps(1.0f / std::sqrt(static_cast<float>(all.size)));
  for (index key = 0; key < end - begin; key += TILE) {
    index left = end - begin - key < TILE ? end - begin - key : TILE;
    vec found = tile<Kind>(gathered, count, all.size, keys + (begin + key) * stride, left, stride,
                           all.size);
    alignas(64) float numbers[LANES];
    _mm512_store_ps(numbers, _mm512_mul_ps(found, scale));
    for (index q = 0; q < count; q++)
      for (index k = 0; k < TILE; k++) scores[q * span + key + k] = numbers[TILE * q + k];
  }
  vec total[TILE];
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const vec nothing = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  for (index q = 0; q < count; q++) {
    float* own = scores.data() + q * span;
    vec most = nothing, sum = _mm512_setzero_ps();
    auto seen = [&](index key) {
      __m512i at = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(begin + key)));
      return _mm512_cmple_epi32_mask(at, _mm512_set1_epi32(static_cast<int>(last[q]))) &
             _mm512_cmpge_epi32_mask(at, _mm512_set1_epi32(static_cast<int>(first_seen[q])));
    };
    for (index key = 0; key < span; key += LANES)
      most = _mm512_mask_max_ps(most, seen(key), most, _mm512_loadu_ps(own + key));
    vec peak = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    for (index key = 0; key < span; key += LANES) {
      vec weight = exponential(_mm512_sub_ps(_mm512_loadu_ps(own + key), peak));
      weight = _mm512_maskz_mov_ps(seen(key), weight);
      sum = _mm512_add_ps(sum, weight);
      _mm512_storeu_ps(own + key, weight);
    }
    total[q] = _mm512_set1_ps(_mm512_reduce_add_ps(sum));
  }
  for (index from_size = 0; from_size < all.size; from_size += DIMENSIONS) {
    vec mixed[TILE][4];
    for (auto& query : mixed)
      for (vec& sum : query) sum = _mm512_setzero_ps();
    for (index key = 0; key < end - begin; key++) {
      const T* value = values + (begin + key) * stride + from_size;
      vec read[4];
      for (int i = 0; i < 4; i++)
        read[i] = all.size - from_size > LANES * i
                      ? load(value + LANES * i, all.size - from_size - LANES * i)
                      : _mm512_setzero_ps();
      for (index q = 0; q < TILE; q++) {
        vec weight = _mm512_set1_ps(q < count ? scores[q * span + key] : 0.0f);
        for (int i = 0; i < 4; i++) mixed[q][i] = _mm512_fmadd_ps(weight, read[i], mixed[q][i]);
      }
    }
    for (index q = 0; q < count; q++)
      for (int i = 0; i < 4; i++) {
        index at = from_size + LANES * i;
        if (at < all.size)
          store(all.out + place[q] + at, _mm512_div_ps(mixed[q][i], total[q]), all.size - at);
      }
  }
}

template <class Kind>
static void attend(const Attention<typename Kind::number>& all) {
  const index queries = all.width * all.shared, tiles = (queries + TILE - 1) / TILE;
  const index tasks = all.windows * all.kv_heads * tiles;
#pragma omp parallel
  {
    std::vector<float> scores;
#pragma omp for schedule(static)
    for (index task = 0; task < tasks; task++) {
      index from = task % tiles * TILE, group = task / tiles;
      attend_tile<Kind>(all, group / all.kv_heads, group % all.kv_heads, from,
                        queries - from < TILE ? queries - from : TILE, scores);
    }
  }
}
