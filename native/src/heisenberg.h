// Observables go back through a noisy circuit, their cotangents forward. An observable is an item
// of its own for all layers: it stays in a core's cache. Included once per instruction set.
#pragma once

#include <algorithm>
#include <vector>

#include "gather.h"
#include "problem.h"
#include "rotation.h"
#include "scratch.h"
#include "steps.h"

namespace {

using fedket::NoisyProblem;
using fedket::scratch;

constexpr int64_t kCached = int64_t{1} << 23;  // bytes that stay in the last cache

// Rows of up to four qubits hold several observables side by side, as if they had leading qubits
// that nothing acts on.
template <typename T>
struct NoisyRun {
  const NoisyProblem& problem;
  int num_qubits;           // at least four
  int64_t rows, together;  // of an item: rows, and observables that they hold
  std::vector<NoisyPlan> plans;
  std::vector<Gather> gathers;
  std::vector<std::vector<T>> repeated;  // weights of each block with moves
  std::vector<const T*> weights;
  size_t singles = 0;

  NoisyRun(const NoisyProblem& p, const T* weight_rows) : problem(p) {
    const int extra = std::max(0, 4 - p.num_qubits);
    num_qubits = p.num_qubits + extra;
    rows = num_qubits - kLaneQubits > kChunkDigits ? stride_of(num_qubits - kLaneQubits)
                                                   : int64_t{1} << (2 * (num_qubits - kLaneQubits));
    together = int64_t{1} << (2 * extra);
    for (const NoisyBlock& block : p.blocks) {
      plans.emplace_back(block, p.num_qubits);
      singles += block.singles.size();
      std::vector<int32_t> images = block.images;
      for (int bit = 2 * p.num_qubits; bit < 2 * num_qubits; ++bit) images.push_back(1 << bit);
      const bool moves = block.start == NoisyBlock::kMoves;
      gathers.push_back(moves ? Gather(images, int64_t{1} << (2 * num_qubits - 4)) : Gather());
      weights.push_back(weight_rows);
      repeated.emplace_back();
      if (!moves) continue;
      for (int64_t i = 0; extra && i < together; ++i)
        repeated.back().insert(repeated.back().end(), weight_rows, weight_rows + p.strings());
      if (extra) weights.back() = repeated.back().data();
      weight_rows += p.strings();
    }
  }

  int64_t items() const { return (problem.observables + together - 1) / together; }
  int64_t size() const { return kLanes * rows; }
  int64_t chunks() const { return (rows + kChunk) / (kChunk + 1); }
  int64_t chunk_rows() const { return std::min(rows, kChunk); }
  int64_t first(int64_t item) const { return item * together * problem.strings(); }
  int64_t filled(int64_t item) const {  // numbers of an item that are observables'
    return std::min(together, problem.observables - item * together) * problem.strings();
  }

  // A block's first part, at `at`; what it needs `spare` for changes their roles.
  template <bool BACK>
  void begin(size_t block, T*& at, T*& spare) const {
    for (const fedket::Couple& couple : problem.blocks[block].couple) {
      const int first = std::min(couple.first, couple.second);
      const int digit = problem.num_qubits - 1 - kLaneQubits - first;
      const int64_t chunk = digit < kChunkDigits ? chunk_rows() : rows;
      for (int64_t start = 0; start < rows; start += chunk + 1)
        couple_rows<T, BACK>(couple, problem.num_qubits, at + kLanes * start, chunk);
    }
    if (problem.blocks[block].start != NoisyBlock::kMoves) return;
    gather_rows<true>(gathers[block], weights[block], at, spare);
    std::swap(at, spare);
  }

  // Turns of all layers and singles of one instance.
  std::vector<Turn<T>> turns(const T* unitaries, bool back) const {
    std::vector<Turn<T>> result;
    result.reserve(problem.layers * singles);
    for (int64_t layer = 0; layer < problem.layers; ++layer)
      for (const NoisyBlock& block : problem.blocks)
        for (const Single& single : block.singles)
          result.push_back(turn_of(single, unitaries + 8 * layer * problem.unitaries, back));
    return result;
  }
};

template <typename T>
void read_item(const NoisyRun<T>& run, int64_t item, const T* from, T* to) {
  std::fill_n(to, run.size(), T{0});
  for (int64_t chunk = 0; chunk < run.chunks(); ++chunk)
    std::copy_n(from + run.first(item) + chunk * kRun, std::min(kRun, run.filled(item)),
                to + chunk * kPaddedChunk);
}

// What goes beyond the last cache goes past it: it comes back from memory in any case, and a line
// that is written whole need not be read first.
template <typename T>
void write_chunk(const NoisyRun<T>& run, int64_t item, int64_t chunk, const T* from,
                 bool past_cache, T* to) {
  to += run.first(item) + chunk * kRun;
#if defined(__AVX512F__)
  if (past_cache && reinterpret_cast<uintptr_t>(to) % 64 == 0 && run.chunks() > 1) {
    for (int64_t i = 0; i < kRun; i += kWidth<T>)
      _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_loadu_si512(from + i));
    _mm_sfence();  // whoever reads it may be another thread
    return;
  }
#endif
  (void)past_cache;
  std::copy_n(from, std::min(kRun, run.filled(item)), to);
}

template <typename T>
void write_item(const NoisyRun<T>& run, int64_t item, const T* from, T* to) {
  for (int64_t chunk = 0; chunk < run.chunks(); ++chunk)
    write_chunk(run, item, chunk, from + chunk * kPaddedChunk, false, to);
}

// All arrays of one instance; kept[i] of the i-th trainable block: (layers, observables, strings).
template <typename T>
struct Back {
  const T *unitaries, *observables;
  T* result;
  std::vector<T*> kept;  // may be empty
};

template <typename T>
void take_back(const NoisyRun<T>& run, const std::vector<Turn<T>>& turns, const Back<T>& arrays,
               int64_t item) {
  const NoisyProblem& problem = run.problem;
  const auto memory = scratch<T>(2 * run.size());
  T *at = memory.get(), *spare = at + run.size();
  std::fill_n(spare, run.size(), T{0});
  read_item(run, item, arrays.observables, at);
  const Turn<T>* turn = turns.data() + turns.size();
  const int64_t layer_size = problem.observables * problem.strings();
  const int64_t bytes = sizeof(T) * layer_size * problem.layers * arrays.kept.size();
  const bool past_cache = bytes * problem.instances > kCached;
  for (int64_t layer = problem.layers; layer-- > 0;) {
    size_t left = arrays.kept.size();
    for (size_t i = problem.blocks.size(); i-- > 0;) {
      const NoisyBlock& block = problem.blocks[i];
      turn -= block.singles.size();
      T* kept = block.trainable && !arrays.kept.empty() ? arrays.kept[--left] + layer * layer_size
                                                        : nullptr;
      apply_steps<T, true>(run.plans[i], true, turn, at, run.rows);
      for (int64_t chunk = 0; chunk < run.chunks(); ++chunk) {
        T* rows = at + chunk * kPaddedChunk;
        apply_steps<T, true>(run.plans[i], false, turn, rows, run.chunk_rows());
        if (kept) write_chunk(run, item, chunk, rows, past_cache, kept);
      }
      run.template begin<true>(i, at, spare);
    }
  }
  write_item(run, item, at, arrays.result);
}

template <typename T>
struct Forth {
  const T *unitaries, *cotangent;
  std::vector<const T*> kept;
  T *unitary_cotangent, *result;
};

// Cotangents go forward; `torques` (layers, unitaries, 3) of the item alone.
template <typename T>
void take_forth(const NoisyRun<T>& run, const std::vector<Turn<T>>& turns, const Forth<T>& arrays,
                int64_t item, T* torques) {
  const NoisyProblem& problem = run.problem;
  const auto memory = scratch<T>(3 * run.size());
  T *at = memory.get(), *spare = at + run.size(), *full = spare + run.size();
  std::fill_n(spare, 2 * run.size(), T{0});
  read_item(run, item, arrays.cotangent, at);
  const Turn<T>* turn = turns.data();
  const int64_t layer_size = problem.observables * problem.strings();
  for (int64_t layer = 0; layer < problem.layers; ++layer) {
    size_t kept = 0;
    for (size_t i = 0; i < problem.blocks.size(); ++i) {
      const NoisyBlock& block = problem.blocks[i];
      run.template begin<false>(i, at, spare);
      const T* b = nullptr;
      if (block.trainable) {
        b = arrays.kept[kept++] + layer * layer_size + run.first(item);
        const int64_t filled = run.filled(item);
        if (filled < kLanes * kLanes) b = std::copy_n(b, filled, full) - filled;
      }
      Torques<T> sums(run.plans[i]);
      if (b) sums.add_high(at, b, run.rows);
      for (int64_t chunk = 0; chunk < run.chunks(); ++chunk) {
        T* rows = at + chunk * kPaddedChunk;
        if (b) sums.add_chunk(rows, b + chunk * kRun, run.chunk_rows());
        apply_steps<T, false>(run.plans[i], false, turn, rows, run.chunk_rows());
      }
      apply_steps<T, false>(run.plans[i], true, turn, at, run.rows);
      sums.read(block, torques + 3 * layer * problem.unitaries);
      turn += block.singles.size();
    }
  }
  write_item(run, item, at, arrays.result);
}

// `arrays(i)` of the i-th instance.
template <typename T, typename Arrays>
void observables_back(const NoisyProblem& problem, const T* weights, const Arrays& arrays,
                      const fedket::ForEach& for_each) {
  const NoisyRun<T> run(problem, weights);
  std::vector<std::vector<Turn<T>>> turns;
  for (int64_t i = 0; i < problem.instances; ++i)
    turns.push_back(run.turns(arrays(i).unitaries, true));
  for_each(problem.instances * run.items(), [&](int64_t item) {
    const int64_t instance = item / run.items();
    take_back(run, turns[instance], arrays(instance), item % run.items());
  });
}

template <typename T, typename Arrays>
void cotangents_forth(const NoisyProblem& problem, const T* weights, const Arrays& arrays,
                      const fedket::ForEach& for_each) {
  const NoisyRun<T> run(problem, weights);
  std::vector<std::vector<Turn<T>>> turns;
  for (int64_t i = 0; i < problem.instances; ++i)
    turns.push_back(run.turns(arrays(i).unitaries, false));
  const int64_t count = problem.layers * problem.unitaries, size = 3 * count;
  const auto torques = scratch<T>(problem.instances * run.items() * size);
  for_each(problem.instances * run.items(), [&](int64_t item) {
    const int64_t instance = item / run.items();
    T* own = torques.get() + item * size;
    std::fill_n(own, size, T{0});
    take_forth(run, turns[instance], arrays(instance), item % run.items(), own);
  });
  for (int64_t i = 0; i < problem.instances; ++i) {
    T* total = torques.get() + i * run.items() * size;
    for (int64_t item = 1; item < run.items(); ++item)
      for (int64_t j = 0; j < size; ++j) total[j] += total[item * size + j];
    const Forth<T> mine = arrays(i);
    for (int64_t j = 0; j < count; ++j)
      unitary_cotangent(mine.unitaries + 8 * j, total + 3 * j, mine.unitary_cotangent + 8 * j);
  }
}

}  // namespace
