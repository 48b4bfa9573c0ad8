// The operations of a step for a CPU with AVX-512, called from backends/compiled.py.
#include "attention.h"
#include "pointwise.h"
#include "tiles.h"

#define POINTWISE(T, SUFFIX)                                                                 \
  void add_norm_##SUFFIX(const T* hidden, const T* change, const T* gain, T* summed, T* out, \
                         index rows, index width, float eps) {                               \
    add_norm(hidden, change, gain, summed, out, rows, width, eps);                           \
  }                                                                                          \
  void gate_##SUFFIX(const T* gate_up, T* out, index rows, index width, index activation) {  \
    gate(gate_up, out, rows, width, activation);                                             \
  }                                                                                          \
  bool rotate_and_store_##SUFFIX(const Window<T>* window) { return rotate_and_store(*window); }

#define PRODUCT(NAME, KIND, OUT, LINEAR)                                                      \
  void NAME(const KIND::number* inputs, const KIND::number* weight, const KIND::number* bias, \
            OUT* outputs, index rows, index columns, index inner) {                           \
    LINEAR(inputs, weight, bias, outputs, rows, columns, inner);                              \
  }

extern "C" {
POINTWISE(float, float32)
PRODUCT(linear_float32, Singles, float, linear<Singles>)
PRODUCT(project_float32, Singles, float, linear<Singles>)
void attend_float32(const Attention<float>* all) { attend<Singles>(*all); }

#ifdef __AVX512BF16__
POINTWISE(bf16, bfloat16)
PRODUCT(linear_bfloat16, Halves, bf16, linear<Halves>)
PRODUCT(project_bfloat16, Halves, float, linear<Halves>)
void attend_bfloat16(const Attention<bf16>* all) { attend<Halves>(*all); }
#endif

#ifdef __AMX_BF16__
bool may_use_tiles() { return tiles_are_lent(); }
PRODUCT(linear_tiles, Halves, bf16, linear_in_tiles)
PRODUCT(project_tiles, Halves, float, linear_in_tiles)
#endif
}
