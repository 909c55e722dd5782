// C_i [M, N] = A_i [M, K] @ B_i [K, N] for many i, for `products.py`; C is dense, A and B by strides:
// from one matrix to the next, from row to row, from column to column.
#include "prelude.h"

constexpr int DEPTH = 192;     // rows of B at once: a panel of them stays in the nearest cache
constexpr int HEIGHT = 768;    // rows of A at once: with DEPTH columns they stay in the next one
constexpr int TURNS_EACH = 4;  // tiles a thread gets at least, so that all end at about one time

// What memory still holds is asked for before it is needed: these products are too short for it to
// come while they wait. Lines of `rows` rows of `length` numbers, `next` apart.
template <typename T>
INLINE void ask(const T* from, long rows, long next, int length) {
  constexpr int LINE = 64 / sizeof(T);
  for (long r = 0; r < rows; ++r)
    for (int i = 0; i < length; i += LINE) __builtin_prefetch(from + r * next + i);
}

// Which rows of the factors that come after these are to be asked for; none where nothing does.
template <typename T>
struct Later {
  const T *a, *b;
  int from, to;
};

// Some rows of one panel of C, over at most DEPTH; `begin`: their sums begin here; `fresh`: A was not
// read yet.
template <typename T, int P>
static __attribute__((noinline)) void strip(T* c, const T* a, const T* b, int M, int width,
                                            int depth, int N, const std::int64_t* s, T* room,
                                            bool begin, bool fresh, Later<T> later) {
  const long row = s[1], column = s[2];
  pack<T, P>(room, b, depth, width, s[4], s[5]);
  const int blocks = (M + ROWS - 1) / ROWS, share = (later.to - later.from + blocks - 1) / blocks;
  for (int m = 0, k = later.from; m < M; m += ROWS, k += share) {
    const int count = std::min(ROWS, M - m), ahead = std::min(ROWS, M - m - ROWS);
    const T* x = a + m * row;
    T* y = c + (long)m * N;
    ask(y + (long)ROWS * N, ahead, N, width);
    if (fresh && column == 1) ask(x + ROWS * row, ahead, row, depth);
    const int rows = std::min(share, later.to - k);
    if (row == 1) ask(later.a + k * column, rows, column, M);
    if (s[5] == 1) ask(later.b + k * s[4], rows, s[4], N);
    if (count == ROWS) panel<T, P, ROWS>(x, row, column, room, P, depth, y, N, width, !begin);
    else rest<T, P, ROWS - 1>(count, x, row, column, room, P, depth, y, N, width, !begin);
  }
}

// Some rows and columns of C. Sums over more than DEPTH are sums of sums, which also rounds less.
template <typename T>
static void tile(T* c, const T* a, const T* b, int M, int columns, int K, int N,
                 const std::int64_t* s, T* room, const T* next_a, const T* next_b) {
  constexpr int P = PANEL<T>, L = LANES<T>;
  for (int k = 0; k < K; k += DEPTH) {
    const int depth = std::min(DEPTH, K - k), left = K - k - depth;
    const T* later_a = left ? a + (k + DEPTH) * s[2] : next_a;
    const T* later_b = left ? b + (k + DEPTH) * s[4] : next_b;
    const int rows = later_a ? std::min(DEPTH, left ? left : K) : 0;
    for (int n = 0; n < columns; n += P) {
      const int width = std::min(P, columns - n), end = std::min(columns, n + P);
      const T *x = a + k * s[2], *z = b + k * s[4] + n * s[5];
      const Later<T> later{later_a, later_b, rows * n / columns, rows * end / columns};
      if (width <= L)
        strip<T, L>(c + n, x, z, M, width, depth, N, s, room, k == 0, n == 0, later);
      else
        strip<T, P>(c + n, x, z, M, width, depth, N, s, room, k == 0, n == 0, later);
    }
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
{
      const T *x = a + i * s[0] + m * s[1], *z = b + i * s[3] + n * s[5];
      const bool last = i + 1 == count;
      tile<T>(c + (i * M + m) * N + n, x, z, (int)std::min(rows, M - m),
              (int)std::min(columns, N - n), K, N, s, room, last ? nullptr : x + s[0],
              last ? nullptr : z + s[3]);
    }
  }
}

#define DOOR(T)                                                                                    \
  extern "C" void T##_products(long count, int M, int N, int K, int threads, const T* a, const T* b, \
                               T* c, const std::int64_t* strides) {                                \
    products<T>(count, M, N, K, threads, a, b, c, strides);                                        \
  }
DOOR(float)
DOOR(double)
