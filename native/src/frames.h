// Paulis of trajectories. A column's Paulis are never applied: its state is kept up to X^x Z^z, its
// frame, which moves take to another frame and which turns a gate U into (X^x Z^z)† U X^x Z^z.
// Included once per instruction set.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "problem.h"
#include "rows.h"
#include "scratch.h"

namespace {

// Of a qubit's cotangent in every lane, see `undo_rows`: its diagonal in two parts each, and x + iy.
template <typename T>
struct Cross {
  Vec<T> zero[2], one[2], x, y;
};

// Of every lane all bits or none.
template <typename T>
using Mask = decltype(Vec<T>{} < Vec<T>{});

template <typename T>
struct LanePauli {
  Mask<T> x, z;
};

template <typename T>
inline void exchange_where(Mask<T> where, Vec<T>& a, Vec<T>& b) {
  const Vec<T> kept = a;
  a = where ? b : a;
  b = where ? kept : b;
}

// A 2×2 matrix of each lane's own.
template <typename T>
struct LaneGate {
  Vec<T> re[4], im[4];
  LaneGate() = default;
  LaneGate(const Gate<T>& gate, const LanePauli<T>& pauli) {
    for (int i = 0; i < 4; ++i) {
      const bool off = i == 1 || i == 2;
      re[i] = gate.re[i] - Vec<T>{}, im[i] = gate.im[i] - Vec<T>{};
      if (off) re[i] = pauli.z ? -re[i] : re[i], im[i] = pauli.z ? -im[i] : im[i];
    }
    for (auto* part : {re, im})
      for (int i = 0; i < 2; ++i) exchange_where<T>(pauli.x, part[i], part[3 - i]);
  }
};

// The Paulis of one tile's columns: bits 1 (X) and 2 (Z) of (layers, blocks, qubits, columns), what
// comes before each block's gates.
template <typename T>
class LaneFrames {
 public:
  LaneFrames(const fedket::Problem& problem, const uint8_t* before, int64_t count)
      : problem_(problem), before_(before), count_(count), paulis_(problem.num_qubits) {}

  size_t size() const { return paulis_.size(); }
  const LanePauli<T>& of(int qubit) const { return paulis_[qubit]; }

  void enter(int64_t layer, size_t block) {
    for (const auto& move : problem_.blocks[block].moves) push(move);
    add(layer, block);
  }

  void leave(int64_t layer, size_t block) {
    add(layer, block);
    const auto& moves = problem_.blocks[block].moves;
    for (auto move = moves.rbegin(); move != moves.rend(); ++move) push(*move);
  }

  void enter_all() {
    for (int64_t layer = 0; layer < problem_.layers; ++layer)
      for (size_t block = 0; block < problem_.blocks.size(); ++block) enter(layer, block);
  }

  // Bits of one lane's frame, qubit 0 the most significant.
  void bits(int64_t lane, int64_t& x, int64_t& z) const {
    x = z = 0;
    for (const auto& pauli : paulis_) {
      x = 2 * x + (pauli.x[lane] != 0);
      z = 2 * z + (pauli.z[lane] != 0);
    }
  }

 private:
  void push(const fedket::Move& move) {
    auto &a = paulis_[move.first], &b = paulis_[move.second];
    if (move.gate == 0) b.x ^= a.x, a.z ^= b.z;
    if (move.gate == 1) a.z ^= b.x, b.z ^= a.x;
    if (move.gate == 2) std::swap(a, b);
  }

  void add(int64_t layer, size_t block) {
    const int64_t place = layer * static_cast<int64_t>(problem_.blocks.size()) + block;
    for (int q : problem_.blocks[block].qubits) {
      const uint8_t* bits = before_ + (place * problem_.num_qubits + q) * problem_.batch;
      for (int64_t lane = 0; lane < count_; ++lane) {
        paulis_[q].x[lane] ^= -(bits[lane] & 1);
        paulis_[q].z[lane] ^= -(bits[lane] >> 1 & 1);
      }
    }
  }

  const fedket::Problem& problem_;
  const uint8_t* before_;
  int64_t count_;
  std::vector<LanePauli<T>> paulis_;
};

// What a product's passes take gates from, and how sums of the backward pass come back to them.
template <typename T>
struct SharedGates {
  const T* matrices;
  bool dagger;
  SharedGates(const T* m, bool undone) : matrices(m), dagger(undone) {}
  Gate<T> of(int qubit) const { return {matrices + 8 * qubit, dagger}; }
  void unframe(int, Cross<T>&) const {}
};

template <typename T>
struct LaneGates {
  const T* matrices;
  const LaneFrames<T>& frames;
  fedket::Scratch<LaneGate<T>> gates;  // of the block's qubits
  LaneGates(const fedket::Block& block, const T* m, bool undone, const LaneFrames<T>& all)
      : matrices(m), frames(all), gates(fedket::scratch<LaneGate<T>>(all.size())) {
    for (int q : block.qubits) gates[q] = LaneGate<T>(Gate<T>(m + 8 * q, undone), all.of(q));
  }
  const LaneGate<T>& of(int qubit) const { return gates[qubit]; }
  void unframe(int qubit, Cross<T>& sums) const {
    const LanePauli<T>& pauli = frames.of(qubit);
    for (int i = 0; i < 2; ++i) exchange_where<T>(pauli.x, sums.zero[i], sums.one[i]);
    sums.x = (pauli.x ^ pauli.z) ? -sums.x : sums.x;
    sums.y = pauli.z ? -sums.y : sums.y;
  }
};

}  // namespace
