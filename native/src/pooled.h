// A valid cross-correlation with stride 1 and the maximum over 2×2 tiles of it, and back.
// Images are (channels, rows, columns, samples). Sums over a pixel's surroundings keep samples in
// lanes; the kernel's cotangent takes one sample after the other, since only the largest pixel of
// a tile has one. Results do not depend on threads.
#pragma once

#include <algorithm>
#include <type_traits>

#include "problem.h"
#include "rows.h"
#include "scratch.h"

namespace {

using fedket::scratch;

struct PoolProblem {
  int64_t instances, channels, rows, columns, batch, outputs, k;
  int64_t out_rows() const { return rows - k + 1; }
  int64_t out_columns() const { return columns - k + 1; }
  int64_t pixels() const { return rows * columns; }
  int64_t tiles() const { return out_rows() / 2 * (out_columns() / 2); }
  int64_t taps() const { return channels * k * k; }
  int64_t operations() const { return outputs * out_rows() * out_columns() * taps() * batch; }
};

template <typename T>
struct Pooled {  // winner[o, tile, sample]: which pixel of the tile is largest, row by row
  const T *kernel, *bias, *x, *cotangent;
  const uint8_t* winner;
};

template <typename T>
using Whole = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
template <typename T>
struct WholeLanes {
  typedef Whole<T> V __attribute__((vector_size(kVectorBytes)));
};

inline int64_t lane_groups(const PoolProblem& p, int width) { return (p.batch + width - 1) / width; }

// Samples first … of (planes, batch) as lanes; 0 where there are none.
template <typename T>
void take_lanes(const T* from, int64_t planes, int64_t batch, int64_t first, Vec<T>* to) {
  const int64_t count = std::min<int64_t>(kWidth<T>, batch - first);
  for (int64_t i = 0; i < planes; ++i) {
    to[i] = Vec<T>{};
    __builtin_memcpy(&to[i], from + i * batch + first, count * sizeof(T));
  }
}

// Calls run(std::integral_constant<int, size>, start) for 0 … count − 1 in blocks of at most LARGEST.
template <int LARGEST, typename Run>
void in_blocks(int64_t count, int64_t start, const Run& run) {
  for (; start + LARGEST <= count; start += LARGEST)
    run(std::integral_constant<int, LARGEST>(), start);
  if constexpr (LARGEST > 1) in_blocks<LARGEST - 1>(count, start, run);
}

// Maxima of some outputs at one tile, and which pixels they are.
template <typename T, int OUTPUTS>
void pool_one(const PoolProblem& p, const T* kernel, const T* bias, const Vec<T>* x, Vec<T>* best,
              typename WholeLanes<T>::V* which) {
  Vec<T> total[4][OUTPUTS] = {};
  for (int64_t c = 0; c < p.channels; ++c)
    for (int64_t i = 0; i < p.k; ++i) {
      const Vec<T>*upper = x + c * p.pixels() + i * p.columns, *lower = upper + p.columns;
      for (int64_t j = 0; j < p.k; ++j, kernel += OUTPUTS)
        for (int o = 0; o < OUTPUTS; ++o) {
          total[0][o] += kernel[o] * upper[j], total[1][o] += kernel[o] * upper[j + 1];
          total[2][o] += kernel[o] * lower[j], total[3][o] += kernel[o] * lower[j + 1];
        }
    }
  for (int o = 0; o < OUTPUTS; ++o) {
    best[o] = total[0][o] + bias[o], which[o] = typename WholeLanes<T>::V{};
    for (int corner = 1; corner < 4; ++corner) {
      const Vec<T> other = total[corner][o] + bias[o];
      const auto larger = (other > best[o]) | (other != other);  // what is no number stays
      best[o] = larger ? other : best[o];
      which[o] = larger ? which[o] * 0 + corner : which[o];
    }
  }
}

template <typename T>
void pool_lanes(const PoolProblem& p, const Pooled<T>& in, int64_t first, T* result,
                uint8_t* winner) {
  constexpr int kMost = kVectorBytes == 64 ? 4 : 2;  // outputs at a time: as registers allow
  const int64_t count = std::min<int64_t>(kWidth<T>, p.batch - first);
  const auto x = scratch<Vec<T>>(p.channels * p.pixels());
  const auto kernel = scratch<T>(p.taps() * kMost);
  take_lanes<T>(in.x, p.channels * p.pixels(), p.batch, first, x.get());
  in_blocks<kMost>(p.outputs, 0, [&](auto size, int64_t start) {
    constexpr int kSize = decltype(size)::value;
    for (int64_t tap = 0; tap < p.taps(); ++tap)
      for (int o = 0; o < kSize; ++o)
        kernel[tap * kSize + o] = in.kernel[(start + o) * p.taps() + tap];
    for (int64_t tile = 0; tile < p.tiles(); ++tile) {
      const int64_t row = 2 * (tile / (p.out_columns() / 2)), column = 2 * (tile % (p.out_columns() / 2));
      Vec<T> best[kSize];
      typename WholeLanes<T>::V which[kSize];
      pool_one<T, kSize>(p, kernel.get(), in.bias + start, x.get() + row * p.columns + column, best,
                         which);
      for (int o = 0; o < kSize; ++o) {
        const int64_t place = ((start + o) * p.tiles() + tile) * p.batch + first;
        __builtin_memcpy(result + place, &best[o], count * sizeof(T));
        for (int64_t lane = 0; lane < count; ++lane)
          winner[place + lane] = static_cast<uint8_t>(which[o][lane]);
      }
    }
  });
}

// Cotangent of the images: what every pixel gave to the largest ones around it.
template <typename T>
void images_back(const PoolProblem& p, const Pooled<T>& in, int64_t first, T* result) {
  constexpr int kMost = 8;
  const int64_t count = std::min<int64_t>(kWidth<T>, p.batch - first);
  const int64_t wide = p.out_columns(), area = p.out_rows() * wide;
  const auto grad = scratch<Vec<T>>(p.outputs * area);
  const auto kernel = scratch<T>(p.outputs * p.k * p.k * kMost);
  for (int64_t o = 0; o < p.outputs; ++o)
    for (int64_t tile = 0; tile < p.tiles(); ++tile) {
      const int64_t place = (o * p.tiles() + tile) * p.batch + first;
      Vec<T> given{};
      typename WholeLanes<T>::V which{};
      __builtin_memcpy(&given, in.cotangent + place, count * sizeof(T));
      for (int64_t lane = 0; lane < count; ++lane) which[lane] = in.winner[place + lane];
      Vec<T>* upper = grad.get() + o * area + tile / (wide / 2) * 2 * wide + tile % (wide / 2) * 2;
      for (int corner = 0; corner < 4; ++corner)
        upper[corner / 2 * wide + corner % 2] = which == corner ? given : Vec<T>{};
    }
  in_blocks<kMost>(p.channels, 0, [&](auto size, int64_t start) {
    constexpr int kSize = decltype(size)::value;
    for (int64_t o = 0; o < p.outputs; ++o)
      for (int64_t tap = 0; tap < p.k * p.k; ++tap)
        for (int c = 0; c < kSize; ++c)
          kernel[(o * p.k * p.k + tap) * kSize + c] =
              in.kernel[(o * p.channels + start + c) * p.k * p.k + tap];
    for (int64_t row = 0; row < p.rows; ++row)
      for (int64_t column = 0; column < p.columns; ++column) {
        const int64_t top = std::max<int64_t>(0, row - p.out_rows() + 1);
        const int64_t left = std::max<int64_t>(0, column - wide + 1);
        const int64_t bottom = std::min(p.k - 1, row), right = std::min(p.k - 1, column);
        Vec<T> total[kSize] = {};
        for (int64_t o = 0; o < p.outputs; ++o)
          for (int64_t i = top; i <= bottom; ++i) {
            const Vec<T>* from = grad.get() + o * area + (row - i) * wide + column;
            const T* weights = kernel.get() + (o * p.k + i) * p.k * kSize;
            for (int64_t j = left; j <= right; ++j)
              for (int c = 0; c < kSize; ++c) total[c] += weights[j * kSize + c] * from[-j];
          }
        for (int c = 0; c < kSize; ++c)
          __builtin_memcpy(result + ((start + c) * p.pixels() + row * p.columns + column) * p.batch + first,
                           &total[c], count * sizeof(T));
      }
  });
}

// Unaligned lanes.
template <typename T>
Vec<T> load(const T* from) {
  Vec<T> lanes;
  __builtin_memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

// Adds to the kernel's cotangent, laid out (outputs, k rows, columns × channels padded to lanes),
// what one sample says. Its image is (rows, columns × channels); `at` is where a tile's largest
// pixel lies in it.
template <typename T, int ROWS, int LANES>
void add_sample(const T* x, int64_t stride, const int32_t* at, const T* given, int64_t tiles,
                Vec<T>* total, int64_t total_stride) {
  Vec<T> sums[ROWS][LANES] = {};
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const T* from = x + at[tile];
    for (int i = 0; i < ROWS; ++i)
      for (int j = 0; j < LANES; ++j)
        sums[i][j] += given[tile] * load<T>(from + i * stride + j * kWidth<T>);
  }
  for (int i = 0; i < ROWS; ++i)
    for (int j = 0; j < LANES; ++j) total[i * total_stride + j] += sums[i][j];
}

template <typename T>
int64_t kernel_lanes(const PoolProblem& p) {
  return (p.k * p.channels + kWidth<T> - 1) / kWidth<T>;
}

// Cotangents of kernel and bias of some samples go to `total` and `bias`.
template <typename T>
void kernel_back(const PoolProblem& p, const Pooled<T>& in, int64_t first, Vec<T>* total, T* bias) {
  const int64_t count = std::min<int64_t>(kWidth<T>, p.batch - first);
  const int64_t stride = p.columns * p.channels, lanes = kernel_lanes<T>(p);
  // Lanes beyond a row's end read what follows it; of the last row, this rest.
  const int64_t image = p.rows * stride + lanes * kWidth<T>, tiles = p.tiles();
  const auto x = scratch<T>(count * image);
  const auto given = scratch<T>(count * tiles);
  const auto at = scratch<int32_t>(count * tiles);
  std::fill_n(x.get(), count * image, T{0});
  for (int64_t c = 0; c < p.channels; ++c)
    for (int64_t pixel = 0; pixel < p.pixels(); ++pixel) {
      const T* from = in.x + (c * p.pixels() + pixel) * p.batch + first;
      for (int64_t s = 0; s < count; ++s) x[s * image + pixel * p.channels + c] = from[s];
    }
  const int64_t half = p.out_columns() / 2;
  for (int64_t o = 0; o < p.outputs; ++o) {
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t place = (o * tiles + tile) * p.batch + first;
      const int64_t row = 2 * (tile / half), column = 2 * (tile % half);
      for (int64_t s = 0; s < count; ++s) {
        const int largest = in.winner[place + s];
        const int64_t pixel = (row + largest / 2) * p.columns + column + largest % 2;
        given[s * tiles + tile] = in.cotangent[place + s];
        at[s * tiles + tile] = static_cast<int32_t>(pixel * p.channels);
        bias[o] += in.cotangent[place + s];
      }
    }
    for (int64_t s = 0; s < count; ++s)
      in_blocks<kVectorBytes == 64 ? 5 : 3>(p.k, 0, [&](auto rows, int64_t i) {
        in_blocks<3>(lanes, 0, [&](auto wide, int64_t j) {
          add_sample<T, decltype(rows)::value, decltype(wide)::value>(
              x.get() + s * image + i * stride + j * kWidth<T>, stride, at.get() + s * tiles,
              given.get() + s * tiles, tiles, total + (o * p.k + i) * lanes + j, lanes);
        });
      });
  }
}

template <typename T>
void pool(const PoolProblem& p, const std::function<Pooled<T>(int64_t)>& in, T* result,
          uint8_t* winner, const fedket::ForEach& for_each) {
  const int64_t groups = lane_groups(p, kWidth<T>), size = p.outputs * p.tiles() * p.batch;
  for_each(p.instances * groups, [&](int64_t item) {
    const int64_t i = item / groups;
    pool_lanes<T>(p, in(i), item % groups * kWidth<T>, result + i * size, winner + i * size);
  });
}

template <typename T>
void pool_images_back(const PoolProblem& p, const std::function<Pooled<T>(int64_t)>& in, T* result,
                      const fedket::ForEach& for_each) {
  const int64_t groups = lane_groups(p, kWidth<T>), size = p.channels * p.pixels() * p.batch;
  for_each(p.instances * groups, [&](int64_t item) {
    const int64_t i = item / groups;
    images_back<T>(p, in(i), item % groups * kWidth<T>, result + i * size);
  });
}

template <typename T>
void pool_kernel_back(const PoolProblem& p, const std::function<Pooled<T>(int64_t)>& in, T* kernel,
                      T* bias, const fedket::ForEach& for_each) {
  const int64_t groups = lane_groups(p, kWidth<T>), lanes = kernel_lanes<T>(p);
  const int64_t size = p.outputs * p.k * lanes, row = lanes * kWidth<T>, items = p.instances * groups;
  const auto totals = scratch<Vec<T>>(items * size);
  const auto biases = scratch<T>(items * p.outputs);
  for_each(items, [&](int64_t item) {
    Vec<T>* total = totals.get() + item * size;
    T* own_bias = biases.get() + item * p.outputs;
    std::fill_n(total, size, Vec<T>{});
    std::fill_n(own_bias, p.outputs, T{0});
    kernel_back<T>(p, in(item / groups), item % groups * kWidth<T>, total, own_bias);
  });
  for (int64_t i = 0; i < p.instances; ++i) {
    Vec<T>* sum = totals.get() + i * groups * size;
    for (int64_t g = 1; g < groups; ++g) {
      for (int64_t j = 0; j < size; ++j) sum[j] += sum[g * size + j];
      for (int64_t o = 0; o < p.outputs; ++o)
        biases[i * groups * p.outputs + o] += biases[(i * groups + g) * p.outputs + o];
    }
    const T* flat = reinterpret_cast<const T*>(sum);
    for (int64_t o = 0; o < p.outputs; ++o) {
      bias[i * p.outputs + o] = biases[i * groups * p.outputs + o];
      for (int64_t c = 0; c < p.channels; ++c)
        for (int64_t a = 0; a < p.k; ++a)
          for (int64_t b = 0; b < p.k; ++b)
            kernel[((i * p.outputs + o) * p.channels + c) * p.k * p.k + a * p.k + b] =
                flat[(o * p.k + a) * row + b * p.channels + c];
    }
  }
}

}  // namespace
