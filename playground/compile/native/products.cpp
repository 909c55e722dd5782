// C_i [M, N] = A_i [M, K] @ B_i [K, N] for many i, for `products.py`; C is dense, A and B by strides:
// from one matrix to the next, from row to row, from column to column.
#include "prelude.h"

constexpr int DEPTH = 192;  // rows of B at once: a panel of them stays in the nearest cache

// Rows of one panel of C. Sums over more than DEPTH are sums of sums, which also rounds less.
template <typename T>
static void strip(T* c, const T* a, const T* b, int M, int width, int K, int N, const std::int64_t* s,
                  T* room) {
  constexpr int P = PANEL<T>;
  for (int k = 0; k < K; k += DEPTH) {
    const int depth = std::min(DEPTH, K - k);
    pack<T, P>(room, b + k * s[4], depth, width, s[4], s[5]);
    for (int m = 0; m < M; m += ROWS) {
      const int count = std::min(ROWS, M - m);
      const T* x = a + m * s[1] + k * s[2];
      T* y = c + (long)m * N;
      if (count == ROWS) panel<T, P, ROWS>(x, s[1], s[2], room, depth, y, N, width, k > 0);
      else rest<T, P, ROWS - 1>(count, x, s[1], s[2], room, depth, y, N, width, k > 0);
    }
  }
}

template <typename T>
static void products(long count, int M, int N, int K, int threads, const T* a, const T* b, T* c,
                     const std::int64_t* s) {
  constexpr int P = PANEL<T>;
  const long panels = (N + P - 1) / P, strips = count * panels;
  const long most = (M + ROWS - 1) / ROWS, parts = std::min(most, (threads + strips - 1) / strips);
  const int rows = (int)((most + parts - 1) / parts) * ROWS;  // of a strip: there are few of them
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (long l = 0; l < strips * parts; ++l) {
    alignas(64) T room[DEPTH * P];
    const long i = l / parts / panels, n = l / parts % panels * P, m = l % parts * rows;
    if (m < M)
      strip<T>(c + (i * M + m) * N + n, a + i * s[0] + m * s[1], b + i * s[3] + n * s[5],
               std::min(rows, (int)(M - m)), std::min(P, (int)(N - n)), K, N, s, room);
  }
}

#define DOOR(T)                                                                                    \
  extern "C" void T##_products(long count, int M, int N, int K, int threads, const T* a, const T* b, \
                               T* c, const std::int64_t* strides) {                                \
    products<T>(count, M, N, K, threads, a, b, c, strides);                                        \
  }
DOOR(float)
DOOR(double)
