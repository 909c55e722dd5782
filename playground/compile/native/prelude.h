// What generated programs are made of: products of small matrices and elementwise functions.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <algorithm>

#ifdef __SSE__
#include <xmmintrin.h>  // immintrin.h takes longer to read than most programs to compile
#endif

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
constexpr int BYTES = 64, ROWS = 12;
#elif defined(__AVX__)
constexpr int BYTES = 32, ROWS = 6;
#else
constexpr int BYTES = 16, ROWS = 6;
#endif

template <typename T> struct Vec { typedef T type __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias)); };
template <typename T> constexpr int LANES = BYTES / sizeof(T);
template <typename T> constexpr int PANEL = 2 * LANES<T>;  // columns that a product makes at once

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define TURNS
typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

// an 8 x 8 block turned over: to[k * stride + j] = from[j * row + k]
INLINE void turn(float* __restrict to, long stride, const float* __restrict from, long row) {
  Eight r[8], s[8];
  for (int i = 0; i < 8; ++i) r[i] = *(const Eight*)(from + i * row);
  for (int i = 0; i < 8; i += 2) {
    s[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    s[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int h = 0; h < 2; ++h) {
      r[i + 2 * h] = __builtin_shufflevector(s[i + h], s[i + h + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + 2 * h + 1] = __builtin_shufflevector(s[i + h], s[i + h + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; ++i) {
    *(Eight*)(to + i * stride) = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    *(Eight*)(to + (i + 4) * stride) =
        __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}
#endif
#endif

// Columns 0 .. width of B [K, N], as [K, P]; what lies beyond them is zero.
template <typename T, int P>
INLINE void pack(T* __restrict to, const T* __restrict from, int K, int width, long row, long column) {
  if (width < P) std::memset(to, 0, sizeof(T) * K * P);
  int k = 0;
  if (column == 1 && width == P)
    for (; k < K; ++k) std::memcpy(to + k * P, from + k * row, sizeof(T) * P);
#ifdef TURNS
  if constexpr (sizeof(T) == 4)
    if (row == 1 && width % 8 == 0)
      for (; k + 8 <= K; k += 8)
        for (int j = 0; j < width; j += 8) turn(to + k * P + j, P, from + k + j * column, column);
#endif
  for (; k < K; ++k)
    for (int j = 0; j < width; ++j) to[k * P + j] = from[k * row + j * column];
}

// C [R, P] = A [R, K] @ a panel, its rows `next` apart; with a sign, C += sign * it
template <typename T, int P, int R>
INLINE void panel(const T* __restrict a, long row, long column, const T* __restrict b, long next,
                  int K, T* __restrict c, long stride, int width, int sign) {
  using V = typename Vec<T>::type;
  constexpr int L = LANES<T>, W = P / L;
  V sum[R][W];
  for (int r = 0; r < R; ++r)
    for (int w = 0; w < W; ++w) sum[r][w] = V{};
  for (int k = 0; k < K; ++k) {
    V row_of_b[W];
    for (int w = 0; w < W; ++w) row_of_b[w] = *(const V*)(b + k * next + w * L);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const T x = a[r * row + k * column];
#pragma GCC unroll 2
      for (int w = 0; w < W; ++w) sum[r][w] += x * row_of_b[w];
    }
  }
  if (width == P && sign) {
    const T s = sign;
    for (int r = 0; r < R; ++r)
      for (int w = 0; w < W; ++w) *(V*)(c + r * stride + w * L) += s * sum[r][w];
  } else if (width == P) {
    for (int r = 0; r < R; ++r)
      for (int w = 0; w < W; ++w) *(V*)(c + r * stride + w * L) = sum[r][w];
  } else {
    for (int r = 0; r < R; ++r) {
      T line[P];
      for (int w = 0; w < W; ++w) *(V*)(line + w * L) = sum[r][w];
      for (int j = 0; j < width; ++j)
        c[r * stride + j] = sign ? c[r * stride + j] + sign * line[j] : line[j];
    }
  }
}

template <typename T, int P, int R>
INLINE void rest(int left, const T* a, long row, long column, const T* b, long next, int K, T* c,
                 long stride, int width, int sign) {
  if constexpr (R > 0) {
    if (left == R) panel<T, P, R>(a, row, column, b, next, K, c, stride, width, sign);
    else rest<T, P, R - 1>(left, a, row, column, b, next, K, c, stride, width, sign);
  }
}

constexpr int ALL = 1 << 30;
constexpr int FEW = 64;  // rows of A for which packing a panel costs more than it saves

// As `product`, columns n .. n + width of at most P.
template <typename T, int P>
static __attribute__((noinline)) void columns(T* c, const T* a, const T* b, int n, int width, int M,
                                              int N, int K, long a_row, long a_column, long b_row,
                                              long b_column, T* room, int lower, int upper,
                                              int asked, int sign) {
  const bool lies = b_column == 1 && width == P && M <= FEW;  // as packed rows would
  if (!lies) pack<T, P>(room, b + n * b_column, K, width, b_row, b_column);
  const long next = lies ? b_row : P;
  const T* rows = lies ? b + n : room;
  for (int m = 0; m < M; m += ROWS) {
    const int count = std::min(ROWS, M - m);
    T* y = c + (long)m * N + n;
    if (asked != ALL && n >= m + count + asked) {
      for (int r = 0; r < count; ++r) std::memset(y + (long)r * N, 0, sizeof(T) * width);
      continue;
    }
    const int last = lower == ALL ? K : std::max(0, std::min(K, m + count + lower));
    const int first = upper == ALL ? 0 : std::max(0, std::min(last, m - upper));
    const T* x = a + m * a_row + first * a_column;
    const T* z = rows + first * next;
    if (count == ROWS)
      panel<T, P, ROWS>(x, a_row, a_column, z, next, last - first, y, N, width, sign);
    else
      rest<T, P, ROWS - 1>(count, x, a_row, a_column, z, next, last - first, y, N, width, sign);
  }
}

// C [M, N] = A [M, K] @ B [K, N]; A, B by strides; room for a panel of B, which stays in the nearest
// cache while all rows meet it. A is zero where its column is beyond row + `lower`, or its row beyond
// column + `upper`; C is asked where column <= row + `asked`. With a sign, +1 or -1, the product is
// added to C so.
template <typename T>
static void product(T* c, const T* a, const T* b, int M, int N, int K, long a_row, long a_column,
                    long b_row, long b_column, T* room, int lower = ALL, int upper = ALL,
                    int asked = ALL, int sign = 0) {
  constexpr int P = PANEL<T>, L = LANES<T>;
  for (int n = 0; n < N; n += P) {
    const int width = std::min(P, N - n);
    if (width <= L)  // half a panel
      columns<T, L>(c, a, b, n, width, M, N, K, a_row, a_column, b_row, b_column, room, lower,
                    upper, asked, sign);
    else
      columns<T, P>(c, a, b, n, width, M, N, K, a_row, a_column, b_row, b_column, room, lower,
                    upper, asked, sign);
  }
}

// Matrix i of many: Y [C, N] with A Y = B, A [C, C] with ones on its diagonal; of A only what is below
// it is read, or, if `upper`, what is above. A block of rows first loses what the rows before it, or
// behind it, say of it, then the rest of itself.
template <typename T, typename>
static void solve(long i, int C, int N, int upper, const T* A, const T* B, T* Y, T* room) {
  A += i * C * C, B += i * C * N, Y += i * C * N;
  std::memcpy(Y, B, sizeof(T) * C * N);
  for (int done = 0; done < C; done += ROWS) {
    const int count = std::min(ROWS, C - done), m = upper ? C - done - count : done;
    const int other = upper ? m + count : 0;
    T* y = Y + (long)m * N;
    if (done)
      product<T>(y, A + (long)m * C + other, Y + (long)other * N, count, N, done, C, 1, N, 1, room,
                 ALL, ALL, ALL, -1);
    for (int s = 1; s < count; ++s) {
      const int r = upper ? count - 1 - s : s;
      for (int j = upper ? r + 1 : 0; j < (upper ? count : r); ++j) {
        const T a = A[(long)(m + r) * C + m + j];
#pragma omp simd
        for (int n = 0; n < N; ++n) y[(long)r * N + n] -= a * y[(long)j * N + n];
      }
    }
  }
}

// As torch has it: what is no number stays none.
template <typename T>
INLINE T greatest(T a, T b) {
  return b > a || b != b ? b : a;
}
#pragma omp declare reduction(largest : float, double : omp_out = greatest(omp_out, omp_in)) initializer(omp_priv = -INFINITY)

INLINE double exponential(double x) { return std::exp(x); }
INLINE double error_function(double x) { return std::erf(x); }

// e^x = 2^n e^r, |r| <= log(2) / 2; the polynomial is the Taylor series. At most 2 units off.
INLINE float exponential(float x) {
  const float magic = 12582912.0f;  // added and taken away again, it rounds to whole numbers
  const float held = x < -87.3f ? -87.3f : x > 88.7228f ? 88.7228f : x;
  const float n = (held * 1.44269504f + magic) - magic;
  const float r = (held - n * 0.693359375f) + n * 2.12194440e-4f;
  float y = 1.0f / 5040.0f;
  y = y * r + 1.0f / 720.0f;
  y = y * r + 1.0f / 120.0f;
  y = y * r + 1.0f / 24.0f;
  y = y * r + 1.0f / 6.0f;
  y = y * r + 0.5f;
  y = y * r + 1.0f;
  y = y * r + 1.0f;
  const std::int32_t whole = (std::int32_t)n, half = whole >> 1;  // 2^128 is no number, 2^64 is
  const std::int32_t bits = (half + 127) << 23, others = (whole - half + 127) << 23;
  float one, other;
  std::memcpy(&one, &bits, sizeof(one));
  std::memcpy(&other, &others, sizeof(other));
  y = y * one * other;
  return x < -87.3f ? 0.0f : x > 88.7228f ? INFINITY : y;
}

// x P(x^2) / Q(x^2) on [-4, 4], fitted to a relative error of 2e-9; beyond, erf rounds to 1.
INLINE float error_function(float x) {
  const float h = x < -4.0f ? -4.0f : x > 4.0f ? 4.0f : x, t = h * h;
  float p = -1.319678729e-8f;
  p = p * t + 4.683625435e-6f;
  p = p * t + 3.795724917e-4f;
  p = p * t + 3.84979494e-3f;
  p = p * t + 5.431695544e-2f;
  p = p * t + 1.852107613e-1f;
  p = p * t + 1.128379169f;
  float q = 6.309971172e-5f;
  q = q * t + 1.307558236e-3f;
  q = q * t + 1.5462334e-2f;
  q = q * t + 1.139606853e-1f;
  q = q * t + 4.974721769e-1f;
  q = q * t + 1.0f;
  return h * p / q;
}
