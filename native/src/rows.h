// Rows of vector lanes, and what gates do to them. Included once per instruction set.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename T>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float V __attribute__((vector_size(kVectorBytes)));
};
template <>
struct Lanes<double> {
  typedef double V __attribute__((vector_size(kVectorBytes)));
};
template <typename T>
using Vec = typename Lanes<T>::V;
template <typename T>
constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(T));

template <typename T>
struct Row {
  Vec<T> re, im;
};

template <typename T>
struct Gate {  // a 2×2 matrix
  T re[4], im[4];
  Gate(const T* m, bool dagger) {
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) {
        const T* entry = m + 2 * (dagger ? 2 * j + i : 2 * i + j);
        re[2 * i + j] = entry[0];
        im[2 * i + j] = dagger ? -entry[1] : entry[1];
      }
  }
};

template <typename T>
T sum(Vec<T> lanes) {
  T total = 0;
  for (int w = 0; w < kWidth<T>; ++w) total += lanes[w];
  return total;
}

template <typename T>
inline __attribute__((always_inline)) void turn(const Gate<T>& g, Row<T>& a, Row<T>& b) {
  const Vec<T> x = a.re, y = a.im, u = b.re, v = b.im;
  a.re = g.re[0] * x - g.im[0] * y + g.re[1] * u - g.im[1] * v;
  a.im = g.re[0] * y + g.im[0] * x + g.re[1] * v + g.im[1] * u;
  b.re = g.re[2] * x - g.im[2] * y + g.re[3] * u - g.im[3] * v;
  b.im = g.re[2] * y + g.im[2] * x + g.re[3] * v + g.im[3] * u;
}

// Index of the r-th group of rows: zeros inserted at `bits`, ascending.
inline int64_t spread(int64_t r, const int* bits, int count) {
  for (int i = 0; i < count; ++i) {
    const int64_t low = (int64_t{1} << bits[i]) - 1;
    r = ((r & ~low) << 1) | (r & low);
  }
  return r;
}

}  // namespace
