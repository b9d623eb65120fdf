// Rows of 16 Pauli strings, and what a real 4×4 matrix on one qubit does to them. A string is a
// base-4 number, I X Y Z = 0 … 3, first qubit most significant: the last two qubits are a row's
// lanes, whatever the vectors' width. Included once per instruction set.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "rows.h"

namespace {

constexpr int kLanes = 16;

template <typename T>
constexpr int kParts = kLanes / kWidth<T>;  // vectors of a row

template <typename T>
struct Strings {
  Vec<T> part[kParts<T>];
};

template <typename T, int FLIP, size_t... LANE>
inline Vec<T> flipped_part(Vec<T> v, std::index_sequence<LANE...>) {
  return __builtin_shufflevector(v, v, (LANE ^ (FLIP % kWidth<T>))...);
}

// Lane l of the result is lane l ^ FLIP: strings times one Pauli of the last two qubits.
template <typename T, int FLIP>
inline Strings<T> flipped(const Strings<T>& row) {
  Strings<T> result;
  for (int p = 0; p < kParts<T>; ++p)
    result.part[p] = flipped_part<T, FLIP>(row.part[p ^ (FLIP / kWidth<T>)],
                                           std::make_index_sequence<kWidth<T>>());
  return result;
}

template <typename T>
inline Strings<T> load(const T* from) {  // may be anywhere in memory
  Strings<T> row;
  std::memcpy(&row, from, sizeof row);
  return row;
}

template <typename T>
inline void store(const Strings<T>& row, T* to) {
  std::memcpy(to, &row, sizeof row);
}

template <typename T>
inline void add_product(Strings<T>& total, const Strings<T>& a, const Strings<T>& b) {
  for (int p = 0; p < kParts<T>; ++p) total.part[p] += a.part[p] * b.part[p];
}

// What preserves the trace: forward (BACK false) I stays and X, Y, Z become o (X, Y, Z) + t I;
// back, observables, by the transpose: I gains t · (X, Y, Z), and o is transposed already.
template <typename T>
struct Turn {
  T o[9], t[3];
};

template <typename T, bool UNITAL, bool BACK>
inline __attribute__((always_inline)) void turn(const Turn<T>& m, Vec<T>& i, Vec<T>& x, Vec<T>& y,
                                                Vec<T>& z) {
  Vec<T> a = m.o[0] * x + m.o[1] * y + m.o[2] * z;
  Vec<T> b = m.o[3] * x + m.o[4] * y + m.o[5] * z;
  Vec<T> c = m.o[6] * x + m.o[7] * y + m.o[8] * z;
  if constexpr (!UNITAL && BACK) i += m.t[0] * x + m.t[1] * y + m.t[2] * z;
  if constexpr (!UNITAL && !BACK) a += m.t[0] * i, b += m.t[1] * i, c += m.t[2] * i;
  x = a, y = b, z = c;
}

// A digit of the row's number: vectors of I, X, Y, Z stand `stride` apart.
template <typename T, bool UNITAL, bool BACK>
void turn_rows(const Turn<T>& m, int64_t stride, Vec<T>* v, int64_t count) {
  const Turn<T> mine = m;  // not in memory that v may point to
  for (int64_t outer = 0; outer < count; outer += 4 * stride)
    for (int64_t k = outer; k < outer + stride; ++k)
      turn<T, UNITAL, BACK>(mine, v[k], v[k + stride], v[k + 2 * stride], v[k + 3 * stride]);
}

// Two digits in one pass over memory, `high` before `low`.
template <typename T, bool UNITAL, bool BACK>
void turn_two(const Turn<T>& g, const Turn<T>& h, int64_t high, int64_t low, Vec<T>* v,
              int64_t count) {
  const Turn<T> first = g, second = h;
  for (int64_t outer = 0; outer < count; outer += 4 * high)
    for (int64_t middle = outer; middle < outer + high; middle += 4 * low)
      for (int64_t k = middle; k < middle + low; ++k) {
        Vec<T> x[4][4];
        for (int a = 0; a < 4; ++a)
          for (int b = 0; b < 4; ++b) x[a][b] = v[k + a * high + b * low];
        for (int b = 0; b < 4; ++b)
          turn<T, UNITAL, BACK>(first, x[0][b], x[1][b], x[2][b], x[3][b]);
        for (int a = 0; a < 4; ++a)
          turn<T, UNITAL, BACK>(second, x[a][0], x[a][1], x[a][2], x[a][3]);
        for (int a = 0; a < 4; ++a)
          for (int b = 0; b < 4; ++b) v[k + a * high + b * low] = x[a][b];
      }
}

// Sums Σ (a_i b_j − a_j b_i) for (i, j) = (Y, Z), (Z, X), (X, Y): all that a rotation's derivative
// sees of C_ij = Σ a_i b_j.
template <typename T>
struct Torque {
  Vec<T> sum[3];
};

template <typename T>
inline __attribute__((always_inline)) void add_torque(Torque<T>& s, const Vec<T> a[3],
                                                      const Vec<T> b[3]) {
  s.sum[0] += a[1] * b[2], s.sum[0] -= a[2] * b[1];
  s.sum[1] += a[2] * b[0], s.sum[1] -= a[0] * b[2];
  s.sum[2] += a[0] * b[1], s.sum[2] -= a[1] * b[0];
}

template <typename T>
inline Vec<T> vector_at(const T* from) {
  Vec<T> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// `run` vectors of each I, X, Y, Z, which stand so far apart.
template <typename T>
void torque_run(Torque<T>& total, const T* a, int64_t a_stride, const T* b, int64_t b_stride,
                int64_t run) {
  constexpr int kW = kWidth<T>;
  Torque<T> s = total;
  for (int64_t k = 0; k < run; ++k) {
    Vec<T> x[3], y[3];
    for (int i = 0; i < 3; ++i) {
      x[i] = vector_at(a + kW * (k + (i + 1) * a_stride));
      y[i] = vector_at(b + kW * (k + (i + 1) * b_stride));
    }
    add_torque<T>(s, x, y);
  }
  total = s;
}

// The same of two digits at once.
template <typename T>
void torque_two(Torque<T>& first, Torque<T>& second, const T* a, int64_t a_high, int64_t a_low,
                const T* b, int64_t b_high, int64_t b_low, int64_t run) {
  constexpr int kW = kWidth<T>;
  Torque<T> s = first, t = second;
  for (int64_t k = 0; k < run; ++k) {
    Vec<T> x[4][4], y[4][4];
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) {
        x[i][j] = vector_at(a + kW * (k + i * a_high + j * a_low));
        y[i][j] = vector_at(b + kW * (k + i * b_high + j * b_low));
      }
    for (int j = 0; j < 4; ++j) {
      const Vec<T> left[3] = {x[1][j], x[2][j], x[3][j]}, right[3] = {y[1][j], y[2][j], y[3][j]};
      add_torque<T>(s, left, right);
    }
    for (int i = 0; i < 4; ++i) add_torque<T>(t, x[i] + 1, y[i] + 1);
  }
  first = s, second = t;
}

// A matrix on a lane's digit: row ← Σ_s part[s] · flipped by s.
template <typename T>
struct LaneTurn {
  Strings<T> part[4];
  LaneTurn(const Turn<T>& m, bool unital, bool back, int step) {
    T matrix[4][4] = {{1, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}};
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) matrix[i + 1][j + 1] = m.o[3 * i + j];
      if (!unital) (back ? matrix[0][i + 1] : matrix[i + 1][0]) = m.t[i];
    }
    T lanes[kLanes];
    for (int s = 0; s < 4; ++s) {
      for (int l = 0; l < kLanes; ++l) lanes[l] = matrix[l / step % 4][l / step % 4 ^ s];
      part[s] = load(lanes);
    }
  }
};

template <typename T, int STEP>
inline Strings<T> turned(const LaneTurn<T>& m, const Strings<T>& row) {
  Strings<T> result;
  for (int p = 0; p < kParts<T>; ++p) result.part[p] = m.part[0].part[p] * row.part[p];
  add_product(result, m.part[1], flipped<T, STEP>(row));
  add_product(result, m.part[2], flipped<T, 2 * STEP>(row));
  add_product(result, m.part[3], flipped<T, 3 * STEP>(row));
  return result;
}

// Products of a and b with its digit of lane step STEP times X, Y, Z, lane by lane.
template <typename T>
struct LaneTorque {
  Strings<T> sum[3];
};

template <typename T, int STEP>
inline void add_lane_torque(LaneTorque<T>& s, const Strings<T>& a, const Strings<T>& b) {
  add_product(s.sum[0], a, flipped<T, STEP>(b));
  add_product(s.sum[1], a, flipped<T, 2 * STEP>(b));
  add_product(s.sum[2], a, flipped<T, 3 * STEP>(b));
}

template <typename T>
void read_torque(const Torque<T>& torque, T* result) {
  for (int i = 0; i < 3; ++i) result[i] += sum<T>(torque.sum[i]);
}

template <typename T>
void read_torque(const LaneTorque<T>& torque, int step, T* result) {
  const int from[3] = {2, 3, 1}, to[3] = {3, 1, 2};  // Y Z, Z X, X Y; each pair's product flips
  for (int i = 0; i < 3; ++i) {
    T lanes[kLanes];
    store(torque.sum[(from[i] ^ to[i]) - 1], lanes);
    for (int l = 0; l < kLanes; ++l) {
      const int digit = l / step % 4;
      if (digit == from[i]) result[i] += lanes[l];
      if (digit == to[i]) result[i] -= lanes[l];
    }
  }
}

}  // namespace
