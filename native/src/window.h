// One dense matrix on up to four qubits. Included once per instruction set.
#pragma once

#include <algorithm>

#include "layout.h"
#include "problem.h"
#include "rows.h"

namespace {

constexpr int kMaxWindow = 4;

// Rows of a window: `offset[j]` from the first row of a group to that of matrix index j.
struct Window {
  int qubits;
  int bits[kMaxWindow];  // ascending
  int64_t offset[1 << kMaxWindow];
  int64_t groups;
  int halves[2][2];  // indices that a gate mixes, where it acts on one qubit
  int num_halves = 0;
  Window() = default;
  Window(const fedket::Block& block, const fedket::Layout& layout, int64_t rows) {
    qubits = static_cast<int>(block.qubits.size());
    for (int j = 0; j < 1 << qubits; ++j) {
      offset[j] = 0;
      for (int i = 0; i < qubits; ++i)
        offset[j] |= int64_t{(j >> (qubits - 1 - i)) & 1} << layout.row_bit(block.qubits[i]);
    }
    for (int i = 0; i < qubits; ++i) bits[i] = layout.row_bit(block.qubits[i]);
    std::sort(bits, bits + qubits);
    groups = rows >> qubits;
    if (qubits == 1) num_halves = 1, halves[0][0] = 0, halves[0][1] = 1;
    if (block.control < 0) return;
    num_halves = 2;
    for (int value = 0; value < 2; ++value)
      for (int bit = 0; bit < 2; ++bit)
        halves[value][bit] = block.control == 0 ? 2 * value + bit : 2 * bit + value;
  }
};

// The gate of a half among a window's.
template <typename T>
Gate<T> half_gate(const Window& window, int half, const T* matrix, bool dagger) {
  const int m = 1 << window.qubits;
  T entries[8];
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j)
      for (int part = 0; part < 2; ++part)
        entries[4 * i + 2 * j + part] =
            matrix[2 * (window.halves[half][i] * m + window.halves[half][j]) + part];
  return Gate<T>(entries, dagger);
}

template <typename T>
void turn_half(const Window& window, int half, const T* matrix, bool dagger, Row<T>* rows) {
  const Gate<T> gate = half_gate<T>(window, half, matrix, dagger);
  Row<T>*first = rows + window.offset[window.halves[half][0]],
  *second = rows + window.offset[window.halves[half][1]];
  for (int64_t r = 0; r < window.groups; ++r) {
    const int64_t k = spread(r, window.bits, window.qubits);
    turn<T>(gate, first[k], second[k]);
  }
}

// As `undo_window`, in one pass.
template <typename T>
void undo_half(const Window& window, int half, const T* matrix, T* grads, Row<T>* psi,
               Row<T>* lam) {
  const Gate<T> gate = half_gate<T>(window, half, matrix, true);
  const int *index = window.halves[half], m = 1 << window.qubits;
  const int64_t first = window.offset[index[0]], second = window.offset[index[1]];
  Row<T> total[2][2] = {};
  for (int64_t r = 0; r < window.groups; ++r) {
    const int64_t k = spread(r, window.bits, window.qubits);
    Row<T> p[2] = {psi[k + first], psi[k + second]}, l[2] = {lam[k + first], lam[k + second]};
    turn<T>(gate, p[0], p[1]);
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) {
        total[i][j].re += l[i].re * p[j].re + l[i].im * p[j].im;
        total[i][j].im += l[i].re * p[j].im - l[i].im * p[j].re;
      }
    psi[k + first] = p[0], psi[k + second] = p[1];
    turn<T>(gate, l[0], l[1]);
    lam[k + first] = l[0], lam[k + second] = l[1];
  }
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) {
      T* entry = grads + 2 * (index[i] * m + index[j]);
      entry[0] += sum<T>(total[i][j].re), entry[1] += sum<T>(total[i][j].im);
    }
}

template <typename T, int M>
void multiply_window(const Window& window, const T* matrix, bool dagger, Row<T>* rows) {
  T re[M][M], im[M][M];
  for (int i = 0; i < M; ++i)
    for (int j = 0; j < M; ++j) {
      const T* entry = matrix + 2 * (dagger ? j * M + i : i * M + j);
      re[i][j] = entry[0], im[i][j] = dagger ? -entry[1] : entry[1];
    }
  constexpr int kBlock = M < 4 ? M : 4;  // results at a time: as many sums as registers hold
  for (int64_t r = 0; r < window.groups; ++r) {
    const int64_t k = spread(r, window.bits, window.qubits);
    Row<T> x[M];
    for (int j = 0; j < M; ++j) x[j] = rows[k + window.offset[j]];
    for (int i = 0; i < M; i += kBlock) {
      Row<T> total[kBlock] = {};
      for (int j = 0; j < M; ++j)
        for (int b = 0; b < kBlock; ++b) {
          total[b].re += re[i + b][j] * x[j].re - im[i + b][j] * x[j].im;
          total[b].im += re[i + b][j] * x[j].im + im[i + b][j] * x[j].re;
        }
      for (int b = 0; b < kBlock; ++b) rows[k + window.offset[i + b]] = total[b];
    }
  }
}

// grads[i, j] += Σ conj(λ)[i] ψ[j]: λ after the window, ψ before it.
template <typename T, int M>
void cross_window(const Window& window, const Row<T>* psi, const Row<T>* lam, T* grads) {
  constexpr int kI = 2, kJ = M < 4 ? M : 4;
  for (int i = 0; i < M; i += kI)
    for (int j = 0; j < M; j += kJ) {
      Row<T> total[kI][kJ] = {};
      for (int64_t r = 0; r < window.groups; ++r) {
        const int64_t k = spread(r, window.bits, window.qubits);
        for (int a = 0; a < kI; ++a) {
          const Row<T> l = lam[k + window.offset[i + a]];
          for (int b = 0; b < kJ; ++b) {
            const Row<T> p = psi[k + window.offset[j + b]];
            total[a][b].re += l.re * p.re + l.im * p.im;
            total[a][b].im += l.re * p.im - l.im * p.re;
          }
        }
      }
      for (int a = 0; a < kI; ++a)
        for (int b = 0; b < kJ; ++b) {
          T* entry = grads + 2 * ((i + a) * M + j + b);
          entry[0] += sum<T>(total[a][b].re), entry[1] += sum<T>(total[a][b].im);
        }
    }
}

template <typename T>
void apply_window(const Window& window, const T* matrix, bool dagger, Row<T>* rows) {
  for (int half = 0; half < window.num_halves; ++half)
    turn_half<T>(window, half, matrix, dagger, rows);
  if (window.num_halves) return;
  switch (window.qubits) {
    case 2: return multiply_window<T, 4>(window, matrix, dagger, rows);
    case 3: return multiply_window<T, 8>(window, matrix, dagger, rows);
    default: return multiply_window<T, 16>(window, matrix, dagger, rows);
  }
}

template <typename T>
void undo_window(const Window& window, const T* matrix, T* grads, Row<T>* psi, Row<T>* lam) {
  for (int half = 0; half < window.num_halves; ++half)
    undo_half<T>(window, half, matrix, grads, psi, lam);
  if (window.num_halves) return;
  apply_window<T>(window, matrix, true, psi);
  switch (window.qubits) {
    case 2: cross_window<T, 4>(window, psi, lam, grads); break;
    case 3: cross_window<T, 8>(window, psi, lam, grads); break;
    default: cross_window<T, 16>(window, psi, lam, grads);
  }
  apply_window<T>(window, matrix, true, lam);
}

}  // namespace
