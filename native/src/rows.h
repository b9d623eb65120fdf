// Rows of vector lanes, and what gates do to them. Included once per instruction set.
#pragma once

#include <cstdint>
#include <utility>

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

template <typename T, typename G>
inline __attribute__((always_inline)) void turn(const G& g, Row<T>& a, Row<T>& b) {
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

template <typename T, int BIT, bool UPPER, size_t... LANE>
inline Vec<T> exchanged(Vec<T> a, Vec<T> b, std::index_sequence<LANE...>) {
  constexpr int kBit = 1 << BIT;
  if constexpr (UPPER)
    return __builtin_shufflevector(a, b, (LANE & kBit ? kWidth<T> + LANE : LANE | kBit)...);
  else
    return __builtin_shufflevector(a, b, (LANE & kBit ? kWidth<T> + (LANE ^ kBit) : LANE)...);
}

template <typename T, int BIT>
void exchange_bits(Row<T>* rows, int64_t count, int row_bit) {
  if constexpr ((1 << BIT) < kWidth<T>) {
    constexpr auto kLanes = std::make_index_sequence<kWidth<T>>();
    for (int64_t r = 0; r < count / 2; ++r) {
      const int64_t k = spread(r, &row_bit, 1);
      const Row<T> a = rows[k], b = rows[k + (int64_t{1} << row_bit)];
      rows[k] = {exchanged<T, BIT, false>(a.re, b.re, kLanes),
                 exchanged<T, BIT, false>(a.im, b.im, kLanes)};
      rows[k + (int64_t{1} << row_bit)] = {exchanged<T, BIT, true>(a.re, b.re, kLanes),
                                           exchanged<T, BIT, true>(a.im, b.im, kLanes)};
    }
  }
}

// Let a bit of the lane's number and one of the row's change roles, for all amplitudes.
template <typename T>
void exchange(Row<T>* rows, int64_t count, int lane_bit, int row_bit) {
  switch (lane_bit) {
    case 0: return exchange_bits<T, 0>(rows, count, row_bit);
    case 1: return exchange_bits<T, 1>(rows, count, row_bit);
    case 2: return exchange_bits<T, 2>(rows, count, row_bit);
    default: return exchange_bits<T, 3>(rows, count, row_bit);
  }
}

}  // namespace
