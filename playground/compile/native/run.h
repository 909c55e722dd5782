// Sequences and heads in parallel; the runs of one of them in order, while what they carry is in its
// core's cache. table: the addresses of all inputs, then all outputs, of every run; strides: from one
// sequence to the next and from one head to the next, of each of them, in elements.
extern "C" void run(long runs, long batch, long heads, int threads, int tensors,
                    const std::int64_t* table, const std::int64_t* strides) {
#pragma omp parallel num_threads(threads)
  {
#ifdef __SSE__
    _mm_setcsr(_mm_getcsr() | 0x8040);  // subnormal numbers are zero
#endif
    T* memory = (T*)std::aligned_alloc(64, ((ROOM + PACKED) * sizeof(T) + 63) / 64 * 64);
    T** here = (T**)std::malloc(tensors * sizeof(T*));
#pragma omp for schedule(static)
    for (long l = 0; l < batch * heads; ++l)
      for (long n = 0; n < runs; ++n) {
        for (int i = 0; i < tensors; ++i) {
          const long start = l / heads * strides[2 * i] + l % heads * strides[2 * i + 1];
          here[i] = (T*)table[n * tensors + i] + start;
        }
        lane(here, here + INPUTS, memory, memory + ROOM);
      }
    std::free(here);
    std::free(memory);
  }
}
