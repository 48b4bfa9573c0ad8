// Sixteen numbers at a time: fp32, or bf16 widened to it. What is stored is rounded once, to even.
#pragma once
#include <immintrin.h>

#include <cstdint>

struct bf16 {
  uint16_t bits;
};

using index = int64_t;
using vec = __m512;

constexpr index LANES = 16;

// The first n of 16 lanes; all of them from 16 on.
static inline __mmask16 first(index n) {
  return n >= LANES ? 0xffff : static_cast<__mmask16>((1u << n) - 1);
}

static inline vec load(const float* from, index n) { return _mm512_maskz_loadu_ps(first(n), from); }

static inline void store(float* into, vec numbers, index n) {
  _mm512_mask_storeu_ps(into, first(n), numbers);
}

static inline float rounded(float number, float) { return number; }
static inline vec rounded(vec numbers, float) { return numbers; }

#ifdef __AVX512BF16__
static inline vec widen(__m256i halves) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline vec load(const bf16* from, index n) {
  return widen(_mm256_maskz_loadu_epi16(first(n), from));
}

static inline void store(bf16* into, vec numbers, index n) {
  _mm256_mask_storeu_epi16(into, first(n), (__m256i)_mm512_cvtneps_pbh(numbers));
}

// To bf16 and back.
static inline vec rounded(vec numbers, bf16) { return widen((__m256i)_mm512_cvtneps_pbh(numbers)); }
#endif

// e to the power of each number: 2^n times a polynomial of the rest (Cephes' expf), which is the
// same for a number in every lane.
static inline vec exponential(vec x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-104.0f));
  vec n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
  vec rest = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  rest = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), rest);
  constexpr float terms[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                             5.0000001201e-1f};
  vec sum = _mm512_set1_ps(1.9875691500e-4f);
  for (float term : terms) sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(term));
  sum = _mm512_fmadd_ps(sum, _mm512_mul_ps(rest, rest), rest);
  return _mm512_scalef_ps(_mm512_add_ps(sum, _mm512_set1_ps(1.0f)), n);
}
