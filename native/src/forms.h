// Values ⟨ψ_b|H_k|ψ_b⟩ of observables in the Pauli basis, in real numbers alone. With F = Re H +
// Im H, ψ = u + iw, p = u − w and q = u + w a value is Σ_rs F_rs T_rs, T_rs = u_r p_s + w_r q_s:
// Re H is symmetric and Im H antisymmetric, so that what mixes them vanishes. Included once per
// instruction set.
#pragma once

#include <algorithm>
#include <vector>

#include "gather.h"
#include "heisenberg.h"

namespace {

struct FormsProblem {
  int num_qubits;
  int64_t instances, observables, batch;
};

// Rows of F are (r, s without its last four bits), lanes those: at least four qubits, of which
// leading ones stand at 0 where there are none.
struct FormsShape {
  int qubits;
  int64_t dim, rows;
  Gather to_entries, to_strings;
  explicit FormsShape(int num_qubits)
      : qubits(std::max(4, num_qubits)), dim(int64_t{1} << qubits), rows(dim * dim / kLanes),
        to_entries(images(qubits, true), rows), to_strings(images(qubits, false), rows) {}

  // Bits of (r, s) <-> those of digits 2 r_q + s_q.
  static std::vector<int32_t> images(int qubits, bool to_entries) {
    std::vector<int32_t> result(2 * qubits);
    for (int q = 0; q < qubits; ++q) {
      const int digit[2] = {2 * q, 2 * q + 1}, entry[2] = {q, qubits + q};  // bit of s, bit of r
      for (int i = 0; i < 2; ++i)
        result[to_entries ? entry[i] : digit[i]] = 1 << (to_entries ? digit[i] : entry[i]);
    }
    return result;
  }
};

// Per digit I, X, Y, Z -> entries 00, 01, 10, 11: I + Z, X − Y, X + Y, I − Z, or the transpose.
template <typename T, bool BACK>
void butterfly(int64_t stride, Vec<T>* v, int64_t count) {
  for (int64_t outer = 0; outer < count; outer += 4 * stride)
    for (int64_t k = outer; k < outer + stride; ++k) {
      const Vec<T> i = v[k], x = v[k + stride], y = v[k + 2 * stride], z = v[k + 3 * stride];
      v[k] = i + z, v[k + 3 * stride] = i - z;
      v[k + stride] = BACK ? x + y : x - y, v[k + 2 * stride] = BACK ? y - x : x + y;
    }
}

// Weights of strings: a product of m Ys is i^m times a real matrix, so its sign in F is that of
// m mod 4; and the same among lanes.
inline bool is_negative(int64_t string) {
  return __builtin_popcountll((string >> 1) & ~string & 0x5555555555555555) & 2;
}

template <typename T>
std::vector<T> signs(int64_t strings) {
  std::vector<T> result(strings);
  for (int64_t i = 0; i < strings; ++i) result[i] = is_negative(i) ? -1 : 1;
  return result;
}

// Strings <-> F, in place but for the last or first step; `spare` is as large.
template <typename T, bool BACK>
void transform_digits(const FormsShape& shape, T* v) {
  auto* vectors = reinterpret_cast<Vec<T>*>(v);
  const int64_t count = kParts<T> * shape.rows;
  for (int digit = 0; digit < shape.qubits - kLaneQubits; ++digit)
    butterfly<T, BACK>(kParts<T> << (2 * digit), vectors, count);
  T same[kLanes], other[kLanes], same_first[kLanes], other_first[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    const auto factors = [](int digit, T& own, T& flip) {
      own = digit == 3 ? -1 : 1, flip = 1;
      if (digit == (BACK ? 2 : 1)) flip = -1;
    };
    factors(l % 4, same[l], other[l]), factors(l / 4, same_first[l], other_first[l]);
  }
  const Strings<T> a = load(same), b = load(other), c = load(same_first), d = load(other_first);
  for (int64_t r = 0; r < shape.rows; ++r) {
    const Strings<T> row = load(v + kLanes * r);
    Strings<T> half{}, result{};
    add_product(half, a, row), add_product(half, b, flipped<T, 3>(row));
    add_product(result, c, half), add_product(result, d, flipped<T, 12>(half));
    store(result, v + kLanes * r);
  }
}

// u, w, p and q of the states of a tile, one after the other; what is missing is 0.
template <typename T>
struct Tile {
  fedket::Scratch<T> memory;
  int64_t dim;
  Tile(const FormsShape& shape, int64_t states, int64_t batch, int64_t first, int64_t count,
       int64_t padded, const T* psi)
      : memory(scratch<T>(4 * padded * shape.dim)), dim(shape.dim) {
    std::fill_n(memory.get(), 4 * padded * dim, T{0});
    for (int64_t r = 0; r < states; ++r)
      for (int64_t b = 0; b < count; ++b) {
        const T* amplitude = psi + 2 * (r * batch + first + b);
        T* own = memory.get() + 4 * b * dim + r;
        own[0] = amplitude[0], own[dim] = amplitude[1];
        own[2 * dim] = amplitude[0] - amplitude[1], own[3 * dim] = amplitude[0] + amplitude[1];
      }
  }
  const T* of(int64_t b) const { return memory.get() + 4 * b * dim; }
};

constexpr int64_t kTile = 32;  // states at a time
constexpr int kStates = 4;     // of these in registers

template <typename T>
inline Vec<T> entry(const T* state, int64_t dim, int64_t r, int64_t place) {
  return state[r] * vector_at(state + 2 * dim + place) +
         state[dim + r] * vector_at(state + 3 * dim + place);
}

// sums[k, b] of K observables and kStates states, over rows of r from `first` to `last`.
template <typename T, int K>
void add_values(const T* f, int64_t size, const T* states, int64_t dim, int64_t first,
                int64_t last, T (*sums)[kStates]) {
  Vec<T> total[K][kStates] = {};
  for (int64_t r = first; r < last; ++r)
    for (int64_t place = 0; place < dim; place += kWidth<T>) {
      Vec<T> t[kStates];
      for (int b = 0; b < kStates; ++b) t[b] = entry(states + 4 * b * dim, dim, r, place);
      for (int k = 0; k < K; ++k) {
        const Vec<T> row = vector_at(f + k * size + r * dim + place);
        for (int b = 0; b < kStates; ++b) total[k][b] += row * t[b];
      }
    }
  for (int k = 0; k < K; ++k)
    for (int b = 0; b < kStates; ++b) sums[k][b] = sum<T>(total[k][b]);
}

// F of K observables gains c_kb T of a tile's states, for one r; `c` is (state, observables).
template <typename T, int K>
void add_entries(T* f, int64_t size, const T* states, int64_t count, int64_t dim, int64_t r,
                 const T* c, int64_t observables) {
  constexpr int kRun = 4;
  for (int64_t place = 0; place < dim; place += kRun * kWidth<T>) {
    const int run = static_cast<int>(std::min<int64_t>(kRun, (dim - place) / kWidth<T>));
    const auto add = [&](auto fixed) {
      constexpr int kVectors = decltype(fixed)::value;
      Vec<T> total[K][kVectors];
      for (int k = 0; k < K; ++k)
        for (int i = 0; i < kVectors; ++i)
          total[k][i] = vector_at(f + k * size + r * dim + place + i * kWidth<T>);
      for (int64_t b = 0; b < count; ++b)
        for (int i = 0; i < kVectors; ++i) {
          const Vec<T> t = entry(states + 4 * b * dim, dim, r, place + i * kWidth<T>);
          for (int k = 0; k < K; ++k) total[k][i] += c[b * observables + k] * t;
        }
      for (int k = 0; k < K; ++k)
        std::memcpy(f + k * size + r * dim + place, total[k], sizeof total[k]);
    };
    if (run == kRun)
      add(std::integral_constant<int, kRun>());
    else if (run == 2)
      add(std::integral_constant<int, 2>());
    else
      add(std::integral_constant<int, 1>());
  }
}

// Calls each<K>(first) for groups of K = 4, 2, 1 observables.
template <typename Each>
void in_groups(int64_t observables, const Each& each) {
  int64_t k = 0;
  for (; k + 4 <= observables; k += 4) each(std::integral_constant<int, 4>(), k);
  if (k + 2 <= observables) each(std::integral_constant<int, 2>(), k), k += 2;
  if (k < observables) each(std::integral_constant<int, 1>(), k);
}

template <typename T>
struct Values {
  const T *observables, *psi;
  T* result;  // (batch, observables)
};

// Rows are dealt to as many items whatever the threads: sums stay the same.
inline int64_t parts_of(const FormsShape& shape) { return shape.dim < 128 ? 1 : 8; }

template <typename T, typename Arrays>
void values_of(const FormsProblem& problem, const Arrays& arrays,
               const fedket::ForEach& for_each) {
  const FormsShape shape(problem.num_qubits);
  const int64_t strings = int64_t{1} << (2 * problem.num_qubits), size = kLanes * shape.rows;
  const int64_t states = int64_t{1} << problem.num_qubits, count = problem.observables;
  const std::vector<T> sign = signs<T>(size), ones(size, 1);
  const auto entries = scratch<T>(problem.instances * count * size);
  for_each(problem.instances * count, [&](int64_t item) {
    const auto own = scratch<T>(size);
    const T* from = arrays(item / count).observables + item % count * strings;
    for (int64_t i = 0; i < strings; ++i) own[i] = sign[i] * from[i];
    std::fill(own.get() + strings, own.get() + size, T{0});
    transform_digits<T, false>(shape, own.get());
    gather_rows<false>(shape.to_entries, ones.data(), own.get(), entries.get() + item * size);
  });
  const int64_t tiles = (problem.batch + kTile - 1) / kTile, parts = parts_of(shape);
  const int64_t per_tile = kTile * count;
  const auto partial = scratch<T>(problem.instances * tiles * parts * per_tile);
  for_each(problem.instances * tiles * parts, [&](int64_t item) {
    const int64_t instance = item / (tiles * parts), tile = item / parts % tiles;
    const int64_t part = item % parts, here = std::min(kTile, problem.batch - tile * kTile);
    const int64_t padded = (here + kStates - 1) / kStates * kStates;
    const Tile<T> data(shape, states, problem.batch, tile * kTile, here, padded,
                       arrays(instance).psi);
    const T* f = entries.get() + instance * count * size;
    T* to = partial.get() + item * per_tile;
    for (int64_t b = 0; b < padded; b += kStates)
      in_groups(count, [&](auto fixed, int64_t k) {
        constexpr int kCount = decltype(fixed)::value;
        T sums[kCount][kStates];
        add_values<T, kCount>(f + k * size, size, data.of(b), shape.dim, part * shape.dim / parts,
                              (part + 1) * shape.dim / parts, sums);
        for (int i = 0; i < kCount; ++i)
          for (int j = 0; j < kStates; ++j) to[(b + j) * count + k + i] = sums[i][j];
      });
  });
  for (int64_t instance = 0; instance < problem.instances; ++instance) {
    T* result = arrays(instance).result;
    std::fill_n(result, problem.batch * count, T{0});
    for (int64_t tile = 0; tile < tiles; ++tile)
      for (int64_t part = 0; part < parts; ++part) {
        const T* from = partial.get() + ((instance * tiles + tile) * parts + part) * per_tile;
        const int64_t here = std::min(kTile, problem.batch - tile * kTile);
        for (int64_t i = 0; i < here * count; ++i) result[tile * per_tile + i] += from[i];
      }
  }
}

template <typename T>
struct Averages {
  const T *psi, *cotangent;  // (batch, observables)
  T* result;                 // (observables, strings)
};

// Cotangents of the observables: Σ_b c_bk Tr(P |ψ_b⟩⟨ψ_b|) of every string P.
template <typename T, typename Arrays>
void averages_of(const FormsProblem& problem, const Arrays& arrays,
                 const fedket::ForEach& for_each) {
  const FormsShape shape(problem.num_qubits);
  const int64_t strings = int64_t{1} << (2 * problem.num_qubits), size = kLanes * shape.rows;
  const int64_t states = int64_t{1} << problem.num_qubits, count = problem.observables;
  const int64_t tiles = (problem.batch + kTile - 1) / kTile, parts = parts_of(shape);
  const auto entries = scratch<T>(problem.instances * count * size);
  std::fill_n(entries.get(), problem.instances * count * size, T{0});
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t here = std::min(kTile, problem.batch - tile * kTile);
    std::vector<Tile<T>> data;
    for (int64_t i = 0; i < problem.instances; ++i)
      data.emplace_back(shape, states, problem.batch, tile * kTile, here, here, arrays(i).psi);
    for_each(problem.instances * parts, [&](int64_t item) {
      const int64_t instance = item / parts, part = item % parts;
      T* f = entries.get() + instance * count * size;
      const T* c = arrays(instance).cotangent + tile * kTile * count;
      for (int64_t r = part * shape.dim / parts; r < (part + 1) * shape.dim / parts; ++r)
        in_groups(count, [&](auto fixed, int64_t k) {
          add_entries<T, decltype(fixed)::value>(f + k * size, size, data[instance].of(0), here,
                                                 shape.dim, r, c + k, count);
        });
    });
  }
  const std::vector<T> sign = signs<T>(size);
  for_each(problem.instances * count, [&](int64_t item) {
    const auto own = scratch<T>(size);
    const std::vector<T> ones(size, 1);
    gather_rows<false>(shape.to_strings, ones.data(), entries.get() + item * size, own.get());
    transform_digits<T, true>(shape, own.get());
    T* to = arrays(item / count).result + item % count * strings;
    for (int64_t i = 0; i < strings; ++i) to[i] = sign[i] * own[i];
  });
}

}  // namespace
