// What stands between the products: norms, rotary positions, gates.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "vector.h"

constexpr index FEW = 1 << 13;  // Numbers that one thread is done with before another wakes.

enum Activation : index { SILU, GELU_TANH, GELU };

// RMS norm (Zhang and Sennrich 2019), rounded before it is multiplied with the gain, as
// transformers does.
template <class T>
static inline void norm_row(const T* row, const T* gain, T* out, index width, float eps) {
  vec squares = _mm512_setzero_ps();
  for (index i = 0; i < width; i += LANES) {
    vec numbers = load(row + i, width - i);
    squares = _mm512_fmadd_ps(numbers, numbers, squares);
  }
  float mean = _mm512_reduce_add_ps(squares) / static_cast<float>(width);
  vec factor = _mm512_set1_ps(1.0f / std::sqrt(mean + eps));
  for (index i = 0; i < width; i += LANES) {
    vec normed = rounded(_mm512_mul_ps(load(row + i, width - i), factor), T{});
    store(out + i, _mm512_mul_ps(normed, load(gain + i, width - i)), width - i);
  }
}

// The norm of each row of `hidden`, or where there is a change of what they sum to.
template <class T>
static void add_norm(const T* hidden, const T* change, const T* gain, T* summed, T* out, index rows,
                     index width, float eps) {
#pragma omp parallel for schedule(static) if (rows * width > FEW)
  for (index row = 0; row < rows; row++) {
    const T* read = hidden + row * width;
    if (change) {
      for (index i = 0; i < width; i += LANES)
        store(summed + row * width + i,
              _mm512_add_ps(load(read + i, width - i), load(change + row * width + i, width - i)),
              width - i);
      read = summed + row * width;
    }
    norm_row(read, gain, out + row * width, width, eps);
  }
}

// Rotary position embedding (Su et al. 2021), halves convention. Sines come with the first half
// negated.
template <class T>
static inline void rotate(const T* head, const T* cosines, const T* sines, T* out, index size) {
  index half = size / 2;
  for (index part = 0; part < size; part += half)
    for (index i = 0; i < half; i += LANES) {
      vec turned =
          _mm512_mul_ps(load(head + (half - part) + i, half - i), load(sines + part + i, half - i));
      vec kept = load(head + part + i, half - i);
      store(out + part + i, _mm512_fmadd_ps(kept, load(cosines + part + i, half - i), turned),
            half - i);
    }
}

// Where a window's tokens stand and what they are made of; sizes and strides in numbers.
template <class T>
struct Window {
  const T* heads;          // [tokens, query_heads + 2 * kv_heads, size]
  const index* rows;       // [tokens]: of the cache
  const index* positions;  // [tokens]
  const T* cosines;        // [tokens, size]
  const T* sines;
  const T* query_gain;  // [size], or null: heads are not normed
  const T* key_gain;
  T* queries;  // [tokens, query_heads, size]
  T* keys;     // [rows, positions, kv_heads, size]
  T* values;
  index tokens, query_heads, kv_heads, size, row_stride, row_count, position_count;
  float eps;
};

// One token's heads; `room` holds [size] numbers.
template <class T>
static inline void rotate_and_store(const Window<T>& window, index token, T* room) {
  const index size = window.size, turning = window.query_heads + window.kv_heads;
  const T* read = window.heads + token * (turning + window.kv_heads) * size;
  const T *cosines = window.cosines + token * size, *sines = window.sines + token * size;
  const index place =
      window.rows[token] * window.row_stride + window.positions[token] * window.kv_heads * size;
  for (index head = 0; head < turning; head++) {
    const bool query = head < window.query_heads;
    const T* one = read + head * size;
    T* out = query ? window.queries + (token * window.query_heads + head) * size
                   : window.keys + place + (head - window.query_heads) * size;
    if (window.query_gain) {
      norm_row(one, query ? window.query_gain : window.key_gain, room, size, window.eps);
      one = room;
    }
    rotate(one, cosines, sines, out, size);
  }
  std::copy_n(read + turning * size, window.kv_heads * size, window.values + place);
}

// Whether all tokens stand inside the cache; nothing is written where one does not.
template <class T>
static bool rotate_and_store(const Window<T>& window) {
  for (index token = 0; token < window.tokens; token++)
    if (window.rows[token] < 0 || window.rows[token] >= window.row_count ||
        window.positions[token] < 0 || window.positions[token] >= window.position_count)
      return false;
#pragma omp parallel if (window.tokens * window.query_heads * window.size > FEW)
  {
    std::vector<T> room(window.size);
#pragma omp for schedule(static)
    for (index token = 0; token < window.tokens; token++)
      rotate_and_store(window, token, room.data());
  }
  return true;
}

static inline vec sigmoid(vec x) {
  vec one = _mm512_set1_ps(1.0f);
  return _mm512_div_ps(one, _mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

// The error function by Abramowitz and Stegun, 7.1.26: off by 1.5e-7 at most.
static inline vec error_function(vec x) {
  vec one = _mm512_set1_ps(1.0f), size = _mm512_abs_ps(x);
  vec t = _mm512_div_ps(one, _mm512_fmadd_ps(size, _mm512_set1_ps(0.3275911f), one));
  constexpr float terms[] = {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f};
  vec sum = _mm512_set1_ps(1.061405429f);
  for (float term : terms) sum = _mm512_fmadd_ps(sum, t, _mm512_set1_ps(term));
  vec falling = exponential(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_mul_ps(x, x)));
  vec found = _mm512_fnmadd_ps(_mm512_mul_ps(sum, t), falling, one);
  __mmask16 negative = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
  return _mm512_mask_sub_ps(found, negative, _mm512_setzero_ps(), found);
}

static inline vec activated(vec x, index activation) {
  vec half = _mm512_set1_ps(0.5f), one = _mm512_set1_ps(1.0f);
  if (activation == SILU) return _mm512_mul_ps(x, sigmoid(x));
  if (activation == GELU_TANH) {
    // Half of one plus a hyperbolic tangent is the sigmoid of twice its argument.
    vec cube = _mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(0.044715f));
    vec inner = _mm512_mul_ps(_mm512_fmadd_ps(cube, x, x), _mm512_set1_ps(1.5957691216f));
    return _mm512_mul_ps(x, sigmoid(inner));
  }
  vec erf = error_function(_mm512_mul_ps(x, _mm512_set1_ps(0.7071067812f)));
  return _mm512_mul_ps(_mm512_mul_ps(x, half), _mm512_add_ps(one, erf));
}

// activation(gate) * up: the halves of each row of [rows, 2 * width].
template <class T>
static void gate(const T* gate_up, T* out, index rows, index width, index activation) {
#pragma omp parallel for schedule(static) if (rows * width > FEW)
  for (index row = 0; row < rows; row++) {
    const T *gates = gate_up + 2 * row * width, *ups = gates + width;
    for (index i = 0; i < width; i += LANES) {
      vec gated = activated(load(gates + i, width - i), activation);
      store(out + row * width + i, _mm512_mul_ps(gated, load(ups + i, width - i)), width - i);
    }
  }
}
