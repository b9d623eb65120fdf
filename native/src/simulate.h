// A tile of states through all layers and back. Tiles do not depend on each other, and sums over
// them are taken in their order, so that results do not depend on threads.
#pragma once

#include <optional>
#include <vector>

#include "frames.h"
#include "layout.h"
#include "problem.h"
#include "product.h"
#include "rows.h"
#include "scratch.h"
#include "window.h"

namespace {

using fedket::Block;
using fedket::Layout;
using fedket::Permutation;
using fedket::Problem;
using fedket::scratch;

template <typename T>
constexpr int lane_bits() {
  return __builtin_ctz(kWidth<T>);
}

constexpr int64_t kFewStates = 4;  // fewer than these do not fill lanes

// How a problem is laid out in rows and lanes, and what each of its blocks needs.
template <typename T>
struct Plan {
  const Problem& problem;
  bool lanes_are_states;
  int64_t rows;
  std::vector<Layout> layouts;                         // of each block
  std::vector<std::vector<fedket::Exchange>> before;  // what leads from one to the next
  std::vector<Permutation> moves;
  std::vector<std::vector<Pass<T>>> passes;
  std::vector<Window> windows;

  explicit Plan(const Problem& p) : problem(p) {
    const auto lanes = p.batch < kFewStates ? fedket::lane_layouts(p, lane_bits<T>())
                                            : std::optional<fedket::LaneLayouts>{};
    lanes_are_states = !lanes || lanes->layouts.empty();
    before.resize(p.blocks.size());
    layouts.assign(p.blocks.size(), fedket::batch_layout(p.num_qubits));
    if (!lanes_are_states) layouts = lanes->layouts, before = lanes->before;
    rows = p.dim() >> (lanes_are_states ? 0 : lane_bits<T>());
    for (size_t i = 0; i < p.blocks.size(); ++i) {
      const Block& block = p.blocks[i];
      const bool moved = !block.window && !block.moves.empty();
      moves.push_back(moved ? fedket::compose(block.moves, p.num_qubits) : Permutation{});
      passes.push_back(block.window ? std::vector<Pass<T>>{} : passes_of<T>(block, layouts[i]));
      windows.push_back(block.window ? Window(block, layouts[i], rows) : Window());
    }
  }

  int64_t tiles() const {
    return lanes_are_states ? (problem.batch + kWidth<T> - 1) / kWidth<T> : problem.batch;
  }
  int64_t count(int64_t tile) const {  // of states that are lanes
    return std::min<int64_t>(kWidth<T>, problem.batch - tile * kWidth<T>);
  }
  const Layout& entry() const { return layouts.back(); }
  const Permutation* moved(size_t i) const {
    return moves[i].source.empty() ? nullptr : &moves[i];
  }
};

template <typename T>
T* part(Row<T>* rows, int64_t place, int lane_bits) {
  return reinterpret_cast<T*>(rows + (place >> lane_bits)) + (place & ((1 << lane_bits) - 1));
}

// Read or write a tile: `batch` interleaved complex columns in memory, rows of lanes here. Columns
// with a frame stand in memory without it.
template <typename T, bool WRITE, bool CONJUGATE, typename Memory>
void copy_tile(const Plan<T>& plan, int64_t tile, Memory* states, Row<T>* rows,
               const LaneFrames<T>* frames = nullptr) {
  const int64_t dim = plan.problem.dim(), batch = plan.problem.batch;
  const auto move = [&](Memory* memory, T* row, T sign) {
    const T imaginary = CONJUGATE ? -sign : sign;
    if constexpr (WRITE)
      memory[0] = sign * row[0], memory[1] = imaginary * row[kWidth<T>];
    else
      row[0] = sign * memory[0], row[kWidth<T>] = imaginary * memory[1];
  };
  if (!plan.lanes_are_states) {
    for (int64_t k = 0; k < dim; ++k)
      move(states + 2 * (k * batch + tile),
           part(rows, fedket::place_of(plan.entry(), k), lane_bits<T>()), 1);
    return;
  }
  const int64_t first = tile * kWidth<T>, count = plan.count(tile);
  const auto lane = [&](int64_t k, int64_t w) { return reinterpret_cast<T*>(rows + k) + w; };
  if (!WRITE && count < kWidth<T>) std::fill_n(rows, dim, Row<T>{});
  for (int64_t w = 0; frames && w < count; ++w) {
    int64_t x, z;
    frames->bits(w, x, z);
    for (int64_t k = 0; k < dim; ++k)
      move(states + 2 * ((k ^ x) * batch + first + w), lane(k, w),
           __builtin_parityll(k & z) ? -1 : 1);
  }
  for (int64_t k = 0; !frames && k < dim; ++k)
    for (int64_t w = 0; w < count; ++w) move(states + 2 * (k * batch + first + w), lane(k, w), 1);
}

// The frames of a tile's columns, if there are Paulis.
template <typename T>
std::optional<LaneFrames<T>> frames_of(const Plan<T>& plan, const uint8_t* paulis,
                                       int64_t instance, int64_t tile) {
  const Problem& p = plan.problem;
  if (!paulis) return {};
  const int64_t size = p.layers * static_cast<int64_t>(p.blocks.size()) * p.num_qubits * p.batch;
  return LaneFrames<T>(p, paulis + instance * size + tile * kWidth<T>, plan.count(tile));
}

// Calls run with the gates of a product.
template <typename T, typename Run>
bool with_gates(const Block& block, const T* matrices, bool undone,
                const std::optional<LaneFrames<T>>& frames, const Run& run) {
  return frames ? run(LaneGates<T>(block, matrices, undone, *frames))
                : run(SharedGates<T>(matrices, undone));
}

template <typename T>
void forward_tile(const Plan<T>& plan, const fedket::Forward<T>& arrays, int64_t item) {
  const Problem& problem = plan.problem;
  const int64_t instance = item / plan.tiles(), tile = item % plan.tiles();
  const int64_t size = 2 * problem.dim() * problem.batch;
  const auto memory = scratch<Row<T>>(2 * plan.rows);
  Row<T>*at = memory.get(), *spare = at + plan.rows;
  auto frames = frames_of(plan, arrays.paulis, instance, tile);
  copy_tile<T, false, false>(plan, tile, arrays.states + instance * size, at);
  for (int64_t layer = 0; layer < problem.layers; ++layer) {
    const int64_t first = 2 * (instance * problem.layers + layer) * problem.matrices;
    for (size_t i = 0; i < problem.blocks.size(); ++i) {
      const Block& block = problem.blocks[i];
      const T* matrices = arrays.matrices + first + 2 * block.offset;
      for (const auto& bits : plan.before[i])
        exchange<T>(at, plan.rows, bits.lane_bit, bits.row_bit);
      if (frames) frames->enter(layer, i);
      const auto apply = [&](const auto& gates) {
        return apply_product<T>(plan.passes[i], plan.moved(i), gates, at, spare, plan.rows);
      };
      if (block.window)
        apply_window<T>(plan.windows[i], matrices, false, at);
      else if (with_gates<T>(block, matrices, false, frames, apply))
        std::swap(at, spare);
    }
  }
  copy_tile<T, true, false>(plan, tile, arrays.result + instance * size, at,
                            frames ? &*frames : nullptr);
}

// Gradients of the tile's states alone go to `partial`, (layers, matrices).
template <typename T>
void backward_tile(const Plan<T>& plan, const fedket::Backward<T>& arrays, T* partial,
                   int64_t item) {
  const Problem& problem = plan.problem;
  const int64_t instance = item / plan.tiles(), tile = item % plan.tiles();
  const int64_t size = 2 * problem.dim() * problem.batch;
  const auto memory = scratch<Row<T>>(4 * plan.rows);
  Pair<T> at{memory.get(), memory.get() + plan.rows};
  Pair<T> spare{at.psi + 2 * plan.rows, at.lam + 2 * plan.rows};
  auto frames = frames_of(plan, arrays.paulis, instance, tile);
  if (frames) frames->enter_all();
  const LaneFrames<T>* last = frames ? &*frames : nullptr;
  copy_tile<T, false, false>(plan, tile, arrays.final_states + instance * size, at.psi, last);
  copy_tile<T, false, true>(plan, tile, arrays.cotangent + instance * size, at.lam, last);
  for (int64_t layer = problem.layers; layer-- > 0;) {
    const int64_t first = 2 * (instance * problem.layers + layer) * problem.matrices;
    for (size_t i = problem.blocks.size(); i-- > 0;) {
      const Block& block = problem.blocks[i];
      const T* matrices = arrays.matrices + first + 2 * block.offset;
      T* grads = partial + 2 * (layer * problem.matrices + block.offset);
      const auto undo = [&](const auto& gates) {
        return undo_product<T>(plan.passes[i], plan.moved(i), gates, grads, at, spare, plan.rows);
      };
      if (block.window)
        undo_window<T>(plan.windows[i], matrices, grads, at.psi, at.lam);
      else if (with_gates<T>(block, matrices, true, frames, undo))
        std::swap(at, spare);
      if (frames) frames->leave(layer, i);
      for (auto bits = plan.before[i].rbegin(); bits != plan.before[i].rend(); ++bits) {
        exchange<T>(at.psi, plan.rows, bits->lane_bit, bits->row_bit);
        exchange<T>(at.lam, plan.rows, bits->lane_bit, bits->row_bit);
      }
    }
  }
  copy_tile<T, true, true>(plan, tile, arrays.state_cotangent + instance * size, at.lam);
}

template <typename T>
void forward(const Problem& problem, const fedket::Forward<T>& arrays,
             const fedket::ForEach& for_each) {
  const Plan<T> plan(problem);
  for_each(problem.instances * plan.tiles(),
           [&](int64_t item) { forward_tile<T>(plan, arrays, item); });
}

template <typename T>
void backward(const Problem& problem, const fedket::Backward<T>& arrays,
              const fedket::ForEach& for_each) {
  const Plan<T> plan(problem);
  const int64_t size = 2 * problem.layers * problem.matrices, tiles = plan.tiles();
  const auto partial = scratch<T>(problem.instances * tiles * size);
  for_each(problem.instances * tiles, [&](int64_t item) {
    T* own = partial.get() + item * size;
    std::fill_n(own, size, T{0});
    backward_tile<T>(plan, arrays, own, item);
  });
  std::fill_n(arrays.matrix_cotangent, problem.instances * size, T{0});
  for (int64_t item = 0; item < problem.instances * tiles; ++item)
    for (int64_t i = 0; i < size; ++i)
      arrays.matrix_cotangent[item / tiles * size + i] += partial[item * size + i];
}

}  // namespace
