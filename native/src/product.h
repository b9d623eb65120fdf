// Moves, then one-qubit gates, two qubits per pass over the rows. Included once per instruction set.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "frames.h"
#include "layout.h"
#include "problem.h"
#include "rows.h"

namespace {

constexpr int kLowBits = 6;  // 2^6 rows of ψ and of its cotangent stay in the first-level cache

// One or two of a product's qubits, by the bits of the row index that they are.
template <typename T>
struct Pass {
  bool pair;
  int high, low;      // row bits; of a single qubit, both the same
  int first, second;  // which of the block's matrices
};

constexpr size_t kMostPasses = 32;  // two qubits each, and 2^64 amplitudes nobody has

// What the backward pass adds up over the rows of a pass, see `undo_rows`.
template <typename T>
struct PassSums {
  Vec<T> diagonal[4], x[2], y[2];
};

template <typename T>
std::vector<Pass<T>> passes_of(const fedket::Block& block, const fedket::Layout& layout) {
  std::vector<Pass<T>> passes;
  const auto& qubits = block.qubits;
  for (size_t i = 0; i < qubits.size(); i += 2) {
    const bool pair = i + 1 < qubits.size();
    const int high = qubits[i], low = qubits[i + pair];
    passes.push_back({pair, layout.row_bit(high), layout.row_bit(low), high, low});
  }
  return passes;
}

template <typename T>
Row<T> signed_row(Row<T> row, int8_t sign) {
  return sign < 0 ? Row<T>{-row.re, -row.im} : row;
}

template <typename T, bool PAIR, bool MOVES, typename G>
void turn_rows(const Pass<T>& pass, const G& g, const G& h, const Row<T>* from,
               Row<T>* to, const fedket::Permutation* moves, int64_t rows) {
  const int bits[2] = {pass.low, pass.high};
  const int64_t hi = int64_t{1} << pass.high, lo = int64_t{1} << pass.low;
  const auto load = [&](int64_t k) {
    if constexpr (!MOVES) return from[k];
    const Row<T> row = from[moves->source[k]];
    return moves->sign.empty() ? row : signed_row(row, moves->sign[k]);
  };
  for (int64_t r = 0; r < rows >> (PAIR ? 2 : 1); ++r) {
    const int64_t k = spread(r, bits, PAIR ? 2 : 1);
    if constexpr (PAIR) {
      Row<T> a = load(k), b = load(k + lo), c = load(k + hi), d = load(k + hi + lo);
      turn(g, a, c), turn(g, b, d), turn(h, a, b), turn(h, c, d);
      to[k] = a, to[k + lo] = b, to[k + hi] = c, to[k + hi + lo] = d;
    } else {
      Row<T> a = load(k), b = load(k + hi);
      turn(g, a, b);
      to[k] = a, to[k + hi] = b;
    }
  }
}

template <typename T, typename Gates>
void turn_pass(const Pass<T>& pass, const Gates& gates, const Row<T>* from, Row<T>* to,
               const fedket::Permutation* moves, int64_t rows) {
  const auto &g = gates.of(pass.first), &h = gates.of(pass.second);
  if (pass.pair)
    moves ? turn_rows<T, true, true>(pass, g, h, from, to, moves, rows)
          : turn_rows<T, true, false>(pass, g, h, from, to, moves, rows);
  else
    moves ? turn_rows<T, false, true>(pass, g, h, from, to, moves, rows)
          : turn_rows<T, false, false>(pass, g, h, from, to, moves, rows);
}

// First pass that, with all later ones, stays within 2^kLowBits neighbouring rows.
template <typename T>
size_t first_low(const std::vector<Pass<T>>& passes) {
  size_t first = passes.size();
  while (first > 0 && passes[first - 1].high < kLowBits) --first;
  return first;
}

// Forward: `rows` in `at` become those after the block; `spare` is as large. Returns whether they are in `spare`.
template <typename T, typename Gates>
bool apply_product(const std::vector<Pass<T>>& passes, const fedket::Permutation* moves,
                   const Gates& gates, Row<T>* at, Row<T>* spare, int64_t rows) {
  if (moves && passes.empty()) {
    for (int64_t k = 0; k < rows; ++k)
      spare[k] = signed_row(at[moves->source[k]], moves->sign.empty() ? 1 : moves->sign[k]);
    return true;
  }
  size_t done = 0;
  const size_t low = std::max(first_low(passes), size_t{moves != nullptr});
  if (moves) {
    turn_pass(passes[0], gates, at, spare, moves, rows);
    at = spare, done = 1;
  }
  for (; done < low; ++done) turn_pass<T>(passes[done], gates, at, at, nullptr, rows);
  const int64_t chunk = std::min(rows, int64_t{1} << kLowBits);
  if (low < passes.size())
    for (int64_t start = 0; start < rows; start += chunk)
      for (size_t i = low; i < passes.size(); ++i)
        turn_pass<T>(passes[i], gates, at + start, at + start, nullptr, chunk);
  return moves != nullptr;
}

// With C = Σ conj(λ) ψᵀ reduced to a qubit (rows and lanes summed), λ the conjugate cotangent, only
// C − C† matters, since a unitary's derivative times its inverse is anti-Hermitian. These sums are
// its parts: Im C of the four amplitudes of a pair, and per qubit x + iy = C01 − conj(C10).
template <typename T>
inline __attribute__((always_inline)) void add_off_diagonal(Vec<T>& x, Vec<T>& y, const Row<T>& p0,
                                                            const Row<T>& p1, const Row<T>& l0,
                                                            const Row<T>& l1) {
  x += l0.re * p1.re + l0.im * p1.im - l1.re * p0.re - l1.im * p0.im;
  y += l0.re * p1.im - l0.im * p1.re + l1.re * p0.im - l1.im * p0.re;
}

template <typename T>
inline __attribute__((always_inline)) void add_diagonal(Vec<T>& d, const Row<T>& p,
                                                        const Row<T>& l) {
  d += l.re * p.im - l.im * p.re;
}

template <typename T, bool PAIR, bool MOVES, typename G>
void undo_rows(const Pass<T>& pass, PassSums<T>& sums, const G& g, const G& h,
               const Row<T>* psi_from, const Row<T>* lam_from, Row<T>* psi_to, Row<T>* lam_to,
               const fedket::Permutation* moves, int64_t rows) {
  const int bits[2] = {pass.low, pass.high};
  const int64_t hi = int64_t{1} << pass.high, lo = int64_t{1} << pass.low;
  const auto store = [&](int64_t k, const Row<T>& psi, const Row<T>& lam) {
    if constexpr (!MOVES) {
      psi_to[k] = psi, lam_to[k] = lam;
    } else {
      const int8_t sign = moves->sign.empty() ? 1 : moves->sign[k];
      psi_to[moves->source[k]] = signed_row(psi, sign);
      lam_to[moves->source[k]] = signed_row(lam, sign);
    }
  };
  Vec<T> d0 = sums.diagonal[0], d1 = sums.diagonal[1], d2 = sums.diagonal[2],
         d3 = sums.diagonal[3], x0 = sums.x[0], x1 = sums.x[1], y0 = sums.y[0], y1 = sums.y[1];
  for (int64_t r = 0; r < rows >> (PAIR ? 2 : 1); ++r) {
    const int64_t k = spread(r, bits, PAIR ? 2 : 1);
    if constexpr (PAIR) {
      Row<T> a = psi_from[k], b = psi_from[k + lo], c = psi_from[k + hi], d = psi_from[k + hi + lo];
      Row<T> e = lam_from[k], f = lam_from[k + lo], m = lam_from[k + hi], n = lam_from[k + hi + lo];
      add_diagonal<T>(d0, a, e), add_diagonal<T>(d1, b, f);
      add_diagonal<T>(d2, c, m), add_diagonal<T>(d3, d, n);
      add_off_diagonal<T>(x0, y0, a, c, e, m), add_off_diagonal<T>(x0, y0, b, d, f, n);
      add_off_diagonal<T>(x1, y1, a, b, e, f), add_off_diagonal<T>(x1, y1, c, d, m, n);
      turn(g, a, c), turn(g, b, d), turn(h, a, b), turn(h, c, d);
      turn(g, e, m), turn(g, f, n), turn(h, e, f), turn(h, m, n);
      store(k, a, e), store(k + lo, b, f), store(k + hi, c, m), store(k + hi + lo, d, n);
    } else {
      Row<T> a = psi_from[k], b = psi_from[k + hi], e = lam_from[k], f = lam_from[k + hi];
      add_diagonal<T>(d0, a, e), add_diagonal<T>(d2, b, f);
      add_off_diagonal<T>(x0, y0, a, b, e, f);
      turn(g, a, b), turn(g, e, f);
      store(k, a, e), store(k + hi, b, f);
    }
  }
  sums.diagonal[0] = d0, sums.diagonal[1] = d1, sums.diagonal[2] = d2, sums.diagonal[3] = d3;
  sums.x[0] = x0, sums.x[1] = x1, sums.y[0] = y0, sums.y[1] = y1;
}

template <typename T, typename Gates>
void undo_pass(const Pass<T>& pass, PassSums<T>& sums, const Gates& gates, const Row<T>* psi,
               const Row<T>* lam, Row<T>* psi_to, Row<T>* lam_to,
               const fedket::Permutation* moves, int64_t rows) {
  const auto &g = gates.of(pass.first), &h = gates.of(pass.second);
  using G = std::decay_t<decltype(g)>;
  const auto run = [&](auto rows_of) {
    rows_of(pass, sums, g, h, psi, lam, psi_to, lam_to, moves, rows);
  };
  if (pass.pair)
    run(moves ? undo_rows<T, true, true, G> : undo_rows<T, true, false, G>);
  else
    run(moves ? undo_rows<T, false, true, G> : undo_rows<T, false, false, G>);
}

// Cotangent of a qubit's matrix M: ½ (C − C†) conj(M).
template <typename T>
void matrix_cotangent(T zero, T one, T x, T y, const T* matrix, T* result) {
  const T re[4] = {0, x / 2, -x / 2, 0}, im[4] = {zero, y / 2, y / 2, one};
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j)
      for (int k = 0; k < 2; ++k) {
        const T* m = matrix + 2 * (2 * k + j);
        const T cr = re[2 * i + k], ci = im[2 * i + k];
        result[2 * (2 * i + j)] += cr * m[0] + ci * m[1];
        result[2 * (2 * i + j) + 1] += ci * m[0] - cr * m[1];
      }
}

template <typename T, typename Gates>
void read_cotangents(const Pass<T>& pass, const PassSums<T>& sums, const Gates& gates, T* grads) {
  const auto& d = sums.diagonal;
  const auto put = [&](int qubit, Cross<T> cross) {
    gates.unframe(qubit, cross);
    matrix_cotangent<T>(sum<T>(cross.zero[0]) + sum<T>(cross.zero[1]),
                        sum<T>(cross.one[0]) + sum<T>(cross.one[1]), sum<T>(cross.x),
                        sum<T>(cross.y), gates.matrices + 8 * qubit, grads + 8 * qubit);
  };
  put(pass.first, {{d[0], d[1]}, {d[2], d[3]}, sums.x[0], sums.y[0]});
  if (pass.pair) put(pass.second, {{d[0], d[2]}, {d[1], d[3]}, sums.x[1], sums.y[1]});
}

template <typename T>
struct Pair {  // ψ and its conjugate cotangent
  Row<T>*psi, *lam;
};

// Backward: un-apply the block from `at`, adding the cotangents of its matrices to `grads`.
template <typename T, typename Gates>
bool undo_product(const std::vector<Pass<T>>& passes, const fedket::Permutation* moves,
                  const Gates& gates, T* grads, Pair<T> at, Pair<T> spare, int64_t rows) {
  if (moves && passes.empty()) {
    for (int64_t k = 0; k < rows; ++k) {
      const int8_t sign = moves->sign.empty() ? 1 : moves->sign[k];
      spare.psi[moves->source[k]] = signed_row(at.psi[k], sign);
      spare.lam[moves->source[k]] = signed_row(at.lam[k], sign);
    }
    return true;
  }
  PassSums<T> sums[kMostPasses];
  std::fill_n(sums, passes.size(), PassSums<T>{});
  const size_t low = std::max(first_low(passes), size_t{moves != nullptr});
  const int64_t chunk = std::min(rows, int64_t{1} << kLowBits);
  if (low < passes.size())
    for (int64_t start = 0; start < rows; start += chunk)
      for (size_t i = passes.size(); i-- > low;) {
        Row<T>*psi = at.psi + start, *lam = at.lam + start;
        undo_pass<T>(passes[i], sums[i], gates, psi, lam, psi, lam, nullptr, chunk);
      }
  for (size_t i = std::min(low, passes.size()); i-- > (moves ? 1 : 0);)
    undo_pass<T>(passes[i], sums[i], gates, at.psi, at.lam, at.psi, at.lam, nullptr, rows);
  if (moves)
    undo_pass<T>(passes[0], sums[0], gates, at.psi, at.lam, spare.psi, spare.lam, moves, rows);
  for (size_t i = 0; i < passes.size(); ++i) read_cotangents(passes[i], sums[i], gates, grads);
  return moves != nullptr;
}

}  // namespace
