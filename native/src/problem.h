// What is simulated: one layer of blocks, repeated with other matrices in every layer.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace fedket {

// A CNOT, CZ or SWAP: moves or signs amplitudes.
struct Move {
  int gate;  // 0 CNOT, 1 CZ, 2 SWAP
  int first, second;
};

// Either moves and then one-qubit gates, or one dense matrix on a few qubits.
struct Block {
  bool window;
  std::vector<Move> moves;    // of a product
  std::vector<int> qubits;    // ascending: those that carry a gate, or the window's
  int64_t offset;             // of its first matrix among a layer's
  int control;                // which of a pair only says what the other one gets; −1 for none
};

struct Problem {
  int num_qubits;
  std::vector<Block> blocks;
  int64_t layers;
  int64_t matrices;   // complex numbers per layer
  int64_t instances;  // independent simulations, each with matrices and states of its own
  int64_t batch;      // states per instance
  int64_t dim() const { return int64_t{1} << num_qubits; }
};

// Complex numbers are interleaved (real, imaginary), arrays row-major:
// matrices (instances, layers, matrices), states (instances, dim, batch). Paulis before gates, if any:
// (instances, layers, blocks, qubits, batch), 1 for X, 2 for Z.
template <typename T>
struct Forward {
  const uint8_t* paulis;
  const T* matrices;
  const T* states;
  T* result;
};

template <typename T>
struct Backward {
  const uint8_t* paulis;
  const T* matrices;
  const T* final_states;
  const T* cotangent;
  T* state_cotangent;
  T* matrix_cotangent;
};

// Calls a function with 0 … items − 1, on any threads, and returns when all are done.
using ForEach = std::function<void(int64_t items, const std::function<void(int64_t)>&)>;

}  // namespace fedket
