// The tables of many chunks in parallel, for `rows.py`.
#include "rows.h"

#define DOORS(T)                                                                                  \
  extern "C" void T##_forward(long n, int C, const T* lr, const T* gamma, const T* eta,           \
                              const std::uint8_t* live, T* memory, T* momentum, T* m, T* e) {     \
    _Pragma("omp parallel for schedule(static)") for (long i = 0; i < n; ++i)                     \
        tables(i, C, lr, gamma, eta, live, memory, momentum, m, e);                               \
  }                                                                                               \
  extern "C" void T##_backward(long n, int C, const T* gamma, const T* eta,                       \
                               const std::uint8_t* live, const T* memory, const T* momentum,      \
                               const T* g_memory, const T* g_m, const T* g_e, T* g_lr,            \
                               T* g_gamma, T* g_eta) {                                            \
    _Pragma("omp parallel for schedule(static)") for (long i = 0; i < n; ++i)                     \
        tables_back(i, C, gamma, eta, live, memory, momentum, g_memory, g_m, g_e, g_lr, g_gamma,  \
                    g_eta);                                                                       \
  }
DOORS(float)
DOORS(double)
