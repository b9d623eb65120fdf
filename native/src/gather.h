// Weighted permutations of Pauli strings. CNOT, CZ and SWAP are linear on the bits of a string's
// number, so a row comes from few others. Included once per instruction set.
#pragma once

#include <cstdint>
#include <vector>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "pauli.h"

namespace {

// result[j] = weight[j] · v[source(j)], source(j) the exclusive or of the images of j's bits.
struct Gather {
  std::vector<int32_t> first;   // source of each row's lane 0
  int32_t offset[kLanes];       // and what lanes add to it
  std::vector<int32_t> parts;   // distinct rows among the offsets
  std::vector<uint16_t> masks;  // lanes that come from each
  Gather() = default;
  Gather(const std::vector<int32_t>& images, int64_t rows) : first(rows), offset{} {
    for (int64_t r = 1; r < rows; ++r) {  // without its highest bit, and the image of that
      const int bit = 63 - __builtin_clzll(r);
      first[r] = first[r ^ int64_t{1} << bit] ^ images[4 + bit];
    }
    for (int l = 0; l < kLanes; ++l) {
      for (int bit = 0; bit < 4; ++bit)
        if (l >> bit & 1) offset[l] ^= images[bit];
      const int32_t part = offset[l] / kLanes;
      size_t known = 0;
      while (known < parts.size() && parts[known] != part) ++known;
      if (known == parts.size()) parts.push_back(part), masks.push_back(0);
      masks[known] |= static_cast<uint16_t>(1u << l);
    }
  }
};

// Where a row stands: with one of padding after every 256, so that rows whose numbers differ in
// leading digits alone do not all fall into the same set of a cache.
template <bool PADDED>
inline int64_t place_of_row(int64_t row) {
  return kLanes * (PADDED ? row + (row >> 8) : row);
}

#if defined(__AVX512F__)

template <bool PADDED>
void gather_rows(const Gather& gather, const float* weight, const float* from, float* to) {
  const __m512i lanes = _mm512_and_si512(_mm512_loadu_si512(gather.offset), _mm512_set1_epi32(15));
  const size_t parts = gather.parts.size();
  for (size_t r = 0; r < gather.first.size(); ++r) {
    const int32_t first = gather.first[r];
    const __m512i index = _mm512_xor_si512(lanes, _mm512_set1_epi32(first & 15));
    __m512 row = _mm512_setzero_ps();
    for (size_t p = 0; p < parts; ++p)
      row = _mm512_mask_permutexvar_ps(
          row, gather.masks[p], index,
          _mm512_loadu_ps(from + place_of_row<PADDED>((first / kLanes) ^ gather.parts[p])));
    _mm512_storeu_ps(to + place_of_row<PADDED>(r),
                     _mm512_mul_ps(row, _mm512_loadu_ps(weight + kLanes * r)));
  }
}

template <bool PADDED>
void gather_rows(const Gather& gather, const double* weight, const double* from, double* to) {
  for (int half = 0; half < kLanes; half += 8) {
    int64_t places[8];
    for (int l = 0; l < 8; ++l) places[l] = gather.offset[half + l] % kLanes;
    const __m512i lanes = _mm512_loadu_si512(places);
    for (size_t r = 0; r < gather.first.size(); ++r) {
      const int32_t first = gather.first[r];
      const __m512i index = _mm512_xor_si512(lanes, _mm512_set1_epi64(first & 15));
      __m512d row = _mm512_setzero_pd();
      for (size_t p = 0; p < gather.parts.size(); ++p) {
        const double* source = from + place_of_row<PADDED>((first / kLanes) ^ gather.parts[p]);
        row = _mm512_mask_mov_pd(row, static_cast<__mmask8>(gather.masks[p] >> half),
                                 _mm512_permutex2var_pd(_mm512_loadu_pd(source), index,
                                                        _mm512_loadu_pd(source + 8)));
      }
      _mm512_storeu_pd(to + place_of_row<PADDED>(r) + half,
                       _mm512_mul_pd(row, _mm512_loadu_pd(weight + kLanes * r + half)));
    }
  }
}

#else

template <bool PADDED, typename T>
void gather_rows(const Gather& gather, const T* weight, const T* from, T* to) {
  for (size_t r = 0; r < gather.first.size(); ++r)
    for (int l = 0; l < kLanes; ++l) {
      const int32_t source = gather.first[r] ^ gather.offset[l];
      to[place_of_row<PADDED>(r) + l] =
          weight[kLanes * r + l] * from[place_of_row<PADDED>(source / kLanes) + source % kLanes];
    }
}

#endif

}  // namespace
