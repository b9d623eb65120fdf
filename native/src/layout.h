// Where amplitudes lie: rows of vector lanes. Lanes are states of a batch, or, for a single state,
// some of its qubits. Gates act on rows only, so a gate on a lane's qubit needs another layout.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "problem.h"

namespace fedket {

// place[q]: bit of qubit q in (row << lane_bits | lane); row bits start at lane_bits.
struct Layout {
  int lane_bits;
  std::vector<int> place;
  int row_bit(int qubit) const { return place[qubit] - lane_bits; }
};

inline Layout batch_layout(int num_qubits) {
  Layout layout{0, {}};
  for (int q = 0; q < num_qubits; ++q) layout.place.push_back(num_qubits - 1 - q);
  return layout;
}

inline Layout lanes_layout(int num_qubits, const std::vector<int>& lanes) {
  Layout layout{static_cast<int>(lanes.size()), std::vector<int>(num_qubits)};
  int lane = layout.lane_bits, row = num_qubits;
  for (int q = 0; q < num_qubits; ++q) {
    const bool is_lane = std::find(lanes.begin(), lanes.end(), q) != lanes.end();
    layout.place[q] = is_lane ? --lane : --row;
  }
  return layout;
}

inline int64_t place_of(const Layout& layout, int64_t state) {
  const int n = static_cast<int>(layout.place.size());
  int64_t result = 0;
  for (int q = 0; q < n; ++q) result |= ((state >> (n - 1 - q)) & 1) << layout.place[q];
  return result;
}

// Layouts of a layer's blocks such that none acts on a lane; as few changes as a greedy choice
// needs. Nothing if there is none: then lanes are states, most of them padding.
inline std::optional<std::vector<Layout>> lane_layouts(const Problem& problem, int lane_bits) {
  const int n = problem.num_qubits;
  std::vector<Layout> layouts;
  std::vector<int> used;
  size_t first = 0;
  const auto close = [&](size_t end) {
    std::vector<int> lanes;
    for (int q = n - 1; q >= 0 && static_cast<int>(lanes.size()) < lane_bits; --q)
      if (std::find(used.begin(), used.end(), q) == used.end()) lanes.push_back(q);
    for (; first < end; ++first) layouts.push_back(lanes_layout(n, lanes));
    used.clear();
  };
  for (size_t i = 0; i < problem.blocks.size(); ++i) {
    const Block& block = problem.blocks[i];
    if (!block.window || n - static_cast<int>(block.qubits.size()) < lane_bits) return {};
    std::vector<int> both = used;
    for (int q : block.qubits)
      if (std::find(both.begin(), both.end(), q) == both.end()) both.push_back(q);
    if (n - static_cast<int>(both.size()) < lane_bits) {
      close(i);
      both = block.qubits;
    }
    used = both;
  }
  close(problem.blocks.size());
  return layouts;
}

// source[k], sign[k]: a block's moves take amplitude source[k] times sign[k] to k.
struct Permutation {
  std::vector<int32_t> source;
  std::vector<int8_t> sign;  // empty if all are 1
};

inline Permutation compose(const std::vector<Move>& moves, int num_qubits) {
  Permutation total;
  const int64_t dim = int64_t{1} << num_qubits;
  total.source.resize(dim);
  std::vector<int8_t> sign(dim, 1);
  bool signs = false;
  for (int64_t k = 0; k < dim; ++k) {
    int64_t index = k;
    for (auto move = moves.rbegin(); move != moves.rend(); ++move) {
      const int a = num_qubits - 1 - move->first, b = num_qubits - 1 - move->second;
      const int64_t bit_a = (index >> a) & 1, bit_b = (index >> b) & 1;
      if (move->gate == 0) index ^= bit_a << b;
      if (move->gate == 1 && (bit_a & bit_b)) sign[k] = -sign[k], signs = true;
      if (move->gate == 2) index ^= ((bit_a ^ bit_b) << a) | ((bit_a ^ bit_b) << b);
    }
    total.source[k] = static_cast<int32_t>(index);
  }
  if (signs) total.sign = sign;
  return total;
}

}  // namespace fedket
