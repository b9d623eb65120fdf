// What is simulated under exact noise: a layer of blocks, repeated with other gates each time.
#pragma once

#include <cstdint>
#include <vector>

namespace fedket {

// What stands on one qubit of a block: a gate, noise after it, or both.
struct Single {
  int qubit;
  int unitary;       // which of a layer's, −1 for none
  double noise[16];  // transfer matrix, row-major; its first row is 1 0 0 0
};

// A weighted permutation of two digits of a row's number, v'[j] = weight[j] v[source[j]], then
// shears: Z gains relax · I of each.
struct Couple {
  int first, second;
  int source[16];
  double weight[16], relax[2];
};

// A weighted permutation of Pauli strings, or what is the same for all but two qubits; then
// singles on different qubits.
struct NoisyBlock {
  enum Start { kNothing, kMoves, kCouple } start;
  bool trainable;
  std::vector<int32_t> images;  // source of every bit of a string's number, last qubit's first
  std::vector<Couple> couple;   // one, if any
  std::vector<Single> singles;
};

struct NoisyProblem {
  int num_qubits;
  std::vector<NoisyBlock> blocks;
  int64_t layers, unitaries, observables, instances;
  int64_t strings() const { return int64_t{1} << (2 * num_qubits); }
};

}  // namespace fedket
