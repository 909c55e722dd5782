// The recurrences of `lowering/filter_op.py` for one chunk. Tables are [C, W], W = first + C columns;
// a token's own column is zero before its row, so rows grow to the right.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

// row += gate * before, on the columns that the row before has
template <typename T>
static inline void carry(T* __restrict row, const T* __restrict before, T gate, int width) {
#pragma omp simd
  for (int j = 0; j < width; ++j) row[j] += gate * before[j];
}

template <typename T>
static inline T meet(const T* __restrict a, const T* __restrict b, int width) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int j = 0; j < width; ++j) sum += a[j] * b[j];
  return sum;
}

// eta, momentum, m, e: null without momentum; live: null where every token writes.
template <typename T, typename L>
static void table(int C, const T* lr, const T* gamma, const T* eta, const L* live, T* memory,
                  T* momentum, T* m, T* e) {
  const int first = eta ? 2 : 1, W = first + C;
  for (int t = 0; t < C; ++t) {
    T* row = memory + (long)t * W;
    std::memset(row, 0, sizeof(T) * W);
    if (eta) {
      T* moved = momentum + (long)t * W;
      std::memset(moved, 0, sizeof(T) * W);
      moved[2 + t] = lr[t];
      if (t) carry(moved, moved - W, eta[t], 2 + t);
      else moved[1] = eta[t];
      if (!live || live[t]) std::memcpy(row, moved, sizeof(T) * (3 + t));
      m[t] = moved[1];
    } else {
      row[1 + t] = lr[t];
    }
    if (t) carry(row, row - W, gamma[t], first + t);
    else row[0] = gamma[t];
  }
  if (eta) std::memcpy(e, momentum + (long)(C - 1) * W + 2, sizeof(T) * C);
}

template <typename T, typename L>
static void table_back(int C, const T* gamma, const T* eta, const L* live, const T* memory,
                       const T* momentum, const T* g_memory, const T* g_m, const T* g_e, T* g_lr,
                       T* g_gamma, T* g_eta) {
  const int first = eta ? 2 : 1, W = first + C;
  T rows[4 * W];  // a few kilobytes; g++ and clang++ know arrays of any length
  T *now = rows, *later = now + W, *moved = later + W, *after = moved + W;
  for (int t = C - 1; t >= 0; --t) {  // `later` and `after` are those of row t + 1
    const int width = first + t;  // columns of the row before
    std::memcpy(now, g_memory + (long)t * W, sizeof(T) * (width + 1));
    if (t < C - 1) carry(now, later, gamma[t + 1], width + 1);
    g_gamma[t] = t ? meet(now, memory + (long)(t - 1) * W, width) : now[0];
    if (eta) {
      if (!live || live[t]) std::memcpy(moved, now, sizeof(T) * (width + 1));
      else std::memset(moved, 0, sizeof(T) * (width + 1));
      moved[1] += g_m[t];
      if (t == C - 1)
        for (int j = 0; j < C; ++j) moved[2 + j] += g_e[j];
      else carry(moved, after, eta[t + 1], width + 1);
      g_eta[t] = t ? meet(moved, momentum + (long)(t - 1) * W, width) : moved[1];
      g_lr[t] = moved[width];
      std::swap(moved, after);
    } else {
      g_lr[t] = now[width];
    }
    std::swap(now, later);
  }
}

// of table i of many; null stays null
template <typename T>
static inline T* at(T* p, long i, long size) {
  return p ? p + i * size : nullptr;
}

// Tables i of n one after another; see `native/lift.py` for who calls them with what.
template <typename T, typename L>
static void tables(long i, int C, const T* lr, const T* gamma, const T* eta, const L* live,
                   T* memory, T* momentum, T* m, T* e) {
  const long size = (long)C * ((eta ? 2 : 1) + C);
  table<T, L>(C, at(lr, i, C), at(gamma, i, C), at(eta, i, C), at(live, i, C), at(memory, i, size),
              at(momentum, i, size), at(m, i, C), at(e, i, C));
}

template <typename T, typename L>
static void tables_back(long i, int C, const T* gamma, const T* eta, const L* live, const T* memory,
                        const T* momentum, const T* g_memory, const T* g_m, const T* g_e, T* g_lr,
                        T* g_gamma, T* g_eta) {
  const long size = (long)C * ((eta ? 2 : 1) + C);
  table_back<T, L>(C, at(gamma, i, C), at(eta, i, C), at(live, i, C), at(memory, i, size),
                   at(momentum, i, size), at(g_memory, i, size), at(g_m, i, C), at(g_e, i, C),
                   at(g_lr, i, C), at(g_gamma, i, C), at(g_eta, i, C));
}
