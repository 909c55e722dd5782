// C_i [M, N] = A_i [M, K] @ B_i [K, N] for many i, for `products.py`; C is dense, A and B by strides:
// from one matrix to the next, from row to row, from column to column.
#include "prelude.h"

constexpr int DEPTH = 192;     // rows of B at once: a panel of them stays in the nearest cache
constexpr int HEIGHT = 768;    // rows of A at once: with DEPTH columns they stay in the next one
constexpr int TURNS_EACH = 4;  // tiles a thread gets at least, so that all end at about one time

// Some rows of one panel of C, over at most DEPTH; `first` begins their sums.
template <typename T, int P>
static __attribute__((noinline)) void strip(T* c, const T* a, const T* b, int M, int width,
                                            int depth, int N, const std::int64_t* s, T* room,
                                            bool first) {
  const long row = s[1], column = s[2];
  pack<T, P>(room, b, depth, width, s[4], s[5]);
  for (int m = 0; m < M; m += ROWS) {
    const int count = std::min(ROWS, M - m);
    const T* x = a + m * row;
    T* y = c + (long)m * N;
    if (count == ROWS) panel<T, P, ROWS>(x, row, column, room, P, depth, y, N, width, !first);
    else rest<T, P, ROWS - 1>(count, x, row, column, room, P, depth, y, N, width, !first);
  }
}

// Some rows and columns of C. Sums over more than DEPTH are sums of sums, which also rounds less.
template <typename T>
static void tile(T* c, const T* a, const T* b, int M, int columns, int K, int N,
                 const std::int64_t* s, T* room) {
  constexpr int P = PANEL<T>, L = LANES<T>;
  for (int k = 0; k < K; k += DEPTH)
    for (int n = 0; n < columns; n += P) {
      const int width = std::min(P, columns - n), depth = std::min(DEPTH, K - k);
      const T *x = a + k * s[2], *z = b + k * s[4] + n * s[5];
      if (width <= L) strip<T, L>(c + n, x, z, M, width, depth, N, s, room, k == 0);
      else strip<T, P>(c + n, x, z, M, width, depth, N, s, room, k == 0);
    }
}

static long parts(long size, long of) { return (size + of - 1) / of; }

template <typename T>
static void products(long count, int M, int N, int K, int threads, const T* a, const T* b, T* c,
                     const std::int64_t* s) {
  constexpr int P = PANEL<T>;
  const long asked = threads > 1 ? parts((long)threads * TURNS_EACH, count) : 1;
  const long down = parts(M, HEIGHT), panels = parts(N, P);
  const long across = std::min(panels, parts(asked, down));
  const long more = std::min(parts(M, ROWS), std::max(down, parts(asked, across)));
  const long rows = parts(parts(M, more), ROWS) * ROWS, columns = parts(panels, across) * P;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (long l = 0; l < count * more * across; ++l) {
    alignas(64) T room[DEPTH * P];
    const long i = l / across / more, m = l / across % more * rows, n = l % across * columns;
    if (m < M && n < N)
      tile<T>(c + (i * M + m) * N + n, a + i * s[0] + m * s[1], b + i * s[3] + n * s[5],
              (int)std::min(rows, M - m), (int)std::min(columns, N - n), K, N, s, room);
  }
}

#define DOOR(T)                                                                                    \
  extern "C" void T##_products(long count, int M, int N, int K, int threads, const T* a, const T* b, \
                               T* c, const std::int64_t* strides) {                                \
    products<T>(count, M, N, K, threads, a, b, c, strides);                                        \
  }
DOOR(float)
DOOR(double)
