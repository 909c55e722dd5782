// The recurrences of `lowering/filter_op.py` for many chunks in parallel. Tables are [n, C, W],
// W = first + C columns; a token's own column is zero before its row, so rows grow to the right.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

// row = own + gate * before, on the columns that the row before has
template <typename T>
inline void carry(T* __restrict row, const T* __restrict before, T gate, int width) {
#pragma omp simd
  for (int j = 0; j < width; ++j) row[j] += gate * before[j];
}

template <typename T>
inline T meet(const T* __restrict a, const T* __restrict b, int width) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int j = 0; j < width; ++j) sum += a[j] * b[j];
  return sum;
}

template <typename T>
void forward(long n, int C, const T* lr, const T* gamma, const T* eta, const std::uint8_t* live,
             T* memory, T* momentum, T* m, T* e) {
  const int first = eta ? 2 : 1, W = first + C;
#pragma omp parallel for schedule(static)
  for (long i = 0; i < n; ++i) {
    T* table = memory + i * C * W;
    T* other = eta ? momentum + i * C * W : nullptr;
    for (int t = 0; t < C; ++t) {
      const long at = i * C + t;
      T* row = table + (long)t * W;
      std::memset(row, 0, sizeof(T) * W);
      if (eta) {
        T* moved = other + (long)t * W;
        std::memset(moved, 0, sizeof(T) * W);
        moved[2 + t] = lr[at];
        if (t) carry(moved, moved - W, eta[at], 2 + t);
        else moved[1] = eta[at];
        if (!live || live[at]) std::memcpy(row, moved, sizeof(T) * (3 + t));
        m[at] = moved[1];
      } else {
        row[1 + t] = lr[at];
      }
      if (t) carry(row, row - W, gamma[at], first + t);
      else row[0] = gamma[at];
    }
    if (eta) std::memcpy(e + i * C, other + (long)(C - 1) * W + 2, sizeof(T) * C);
  }
}

template <typename T>
void backward(long n, int C, const T* gamma, const T* eta, const std::uint8_t* live,
              const T* memory, const T* momentum, const T* g_memory, const T* g_m, const T* g_e,
              T* g_lr, T* g_gamma, T* g_eta) {
  const int first = eta ? 2 : 1, W = first + C;
#pragma omp parallel
  {
    std::vector<T> rows(4 * (std::size_t)W);
#pragma omp for schedule(static)
    for (long i = 0; i < n; ++i) {
      T *now = rows.data(), *later = now + W, *moved = later + W, *after = moved + W;
      for (int t = C - 1; t >= 0; --t) {  // `later` and `after` are those of row t + 1
        const long at = i * C + t;
        const int width = first + t;  // columns of the row before
        const T* given = g_memory + at * W;
        std::memcpy(now, given, sizeof(T) * (width + 1));
        if (t < C - 1) carry(now, later, gamma[at + 1], width + 1);
        g_gamma[at] = t ? meet(now, memory + (at - 1) * W, width) : now[0];
        if (eta) {
          if (!live || live[at]) std::memcpy(moved, now, sizeof(T) * (width + 1));
          else std::memset(moved, 0, sizeof(T) * (width + 1));
          moved[1] += g_m[at];
          if (t == C - 1)
            for (int j = 0; j < C; ++j) moved[2 + j] += g_e[i * C + j];
          else carry(moved, after, eta[at + 1], width + 1);
          g_eta[at] = t ? meet(moved, momentum + (at - 1) * W, width) : moved[1];
          g_lr[at] = moved[width];
          std::swap(moved, after);
        } else {
          g_lr[at] = now[width];
        }
        std::swap(now, later);
      }
    }
  }
}

}  // namespace

#define DOORS(T, name)                                                                            \
  extern "C" void name##_forward(long n, int C, const T* lr, const T* gamma, const T* eta,        \
                                 const std::uint8_t* live, T* memory, T* momentum, T* m, T* e) {  \
    forward<T>(n, C, lr, gamma, eta, live, memory, momentum, m, e);                               \
  }                                                                                               \
  extern "C" void name##_backward(long n, int C, const T* gamma, const T* eta,                    \
                                  const std::uint8_t* live, const T* memory, const T* momentum,   \
                                  const T* g_memory, const T* g_m, const T* g_e, T* g_lr,         \
                                  T* g_gamma, T* g_eta) {                                         \
    backward<T>(n, C, gamma, eta, live, memory, momentum, g_memory, g_m, g_e, g_lr, g_gamma,      \
                g_eta);                                                                           \
  }
DOORS(float, float)
DOORS(double, double)
