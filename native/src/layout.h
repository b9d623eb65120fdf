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

inline int64_t place_of(const Layout& layout, int64_t state) {
  const int n = static_cast<int>(layout.place.size());
  int64_t result = 0;
  for (int q = 0; q < n; ++q) result |= ((state >> (n - 1 - q)) & 1) << layout.place[q];
  return result;
}

// Two bits of a place that change roles.
struct Exchange {
  int lane_bit, row_bit;
};

// Layouts of a layer's blocks such that none acts on a lane, and what to exchange before each of
// them: before the first what leads back from the last.
struct LaneLayouts {
  std::vector<Layout> layouts;
  std::vector<std::vector<Exchange>> before;
};

inline bool contains(const std::vector<int>& numbers, int number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

// The layout in which `count` of the qubits that are not in `used` are lanes, later ones first.
// Qubits that may stay where they are in `last` do.
inline Layout change_lanes(Layout last, const std::vector<int>& used, std::vector<Exchange>& path) {
  const int n = static_cast<int>(last.place.size());
  int candidate = n - 1;
  for (int q = 0; q < n; ++q) {
    if (last.row_bit(q) >= 0 || !contains(used, q)) continue;
    while (last.row_bit(candidate) < 0 || contains(used, candidate)) --candidate;
    path.push_back({last.place[q], last.row_bit(candidate)});
    std::swap(last.place[q], last.place[candidate]);
  }
  return last;
}

// Greedy: lanes change when the next block would act on too many qubits. Nothing if a block leaves
// too few qubits for lanes, or is no window: then lanes are states, most of them padding.
inline std::optional<LaneLayouts> lane_layouts(const Problem& problem, int lane_bits) {
  const int n = problem.num_qubits;
  LaneLayouts result;
  std::vector<std::vector<int>> used;  // by the blocks between two changes, once for each of them
  std::vector<size_t> starts;
  for (size_t i = 0; i < problem.blocks.size(); ++i) {
    const Block& block = problem.blocks[i];
    if (!block.window || n - static_cast<int>(block.qubits.size()) < lane_bits) return {};
    std::vector<int> both = used.empty() ? block.qubits : used.back();
    for (int q : block.qubits)
      if (!contains(both, q)) both.push_back(q);
    if (used.empty() || n - static_cast<int>(both.size()) < lane_bits) {
      starts.push_back(i);
      used.push_back(block.qubits);
    } else {
      used.back() = both;
    }
  }
  Layout layout = batch_layout(n);
  layout.lane_bits = lane_bits;  // the last qubits, for a start
  std::vector<Exchange> ignored, way_back;
  result.before.resize(problem.blocks.size());
  for (size_t part = 0; part < starts.size(); ++part) {
    auto& path = part ? result.before[starts[part]] : ignored;
    layout = change_lanes(layout, used[part], path);
    if (part) way_back.insert(way_back.begin(), path.rbegin(), path.rend());
    const size_t end = part + 1 < starts.size() ? starts[part + 1] : problem.blocks.size();
    result.layouts.resize(end, layout);
  }
  if (!starts.empty()) result.before[0] = way_back;
  return result;
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
