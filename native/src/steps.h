// A block in steps over the rows of one observable or cotangent. More than 4^4 rows lie in chunks
// with a row of padding after each. Included once per instruction set.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "noisy.h"
#include "pauli.h"
#include "scratch.h"

namespace {

using fedket::NoisyBlock;
using fedket::Single;

constexpr int kChunkDigits = 4;
constexpr int64_t kChunk = 256;  // 4^4 rows, which stay in the first-level cache
constexpr int64_t kRun = kLanes * kChunk, kPaddedChunk = kRun + kLanes;  // numbers
constexpr int kLaneQubits = 2;

// What a block does in one go: turns of one or two digits of rows, or of the lanes' digits; or
// shears, which add t times what stands at Z to what stands at I (or back), a relaxation's part.
struct Step {
  enum Kind { kRows, kTwo, kLanesOnly, kShear } kind;
  int first, second;  // which singles; −1 for none
  int digit, other;   // of rows, 0 the last; of lanes −1 the first, −2 the last
};

inline bool is_unital(const Single& single) {
  return single.noise[4] == 0 && single.noise[8] == 0 && single.noise[12] == 0;
}

inline bool is_shear(const Single& single) {
  for (int i = 0; i < 16; ++i)
    if (i != 12 && single.noise[i] != (i % 5 == 0)) return false;
  return single.unitary < 0;
}

struct NoisyPlan {
  std::vector<Step> steps;
  std::vector<Step> torques;  // of what has a gate
  bool unital = true;
  NoisyPlan(const NoisyBlock& block, int num_qubits) {
    std::vector<std::pair<int, int>> rows, gates;  // (digit, which)
    int lanes[2] = {-1, -1}, lane_gates[2] = {-1, -1};
    for (int i = 0; i < static_cast<int>(block.singles.size()); ++i) {
      const Single& single = block.singles[i];
      const int digit = num_qubits - 1 - kLaneQubits - single.qubit;
      if (is_shear(single)) {
        steps.push_back({Step::kShear, i, -1, digit, digit});
        continue;
      }
      unital = unital && is_unital(single);
      if (digit < 0) {
        lanes[-1 - digit] = i;
        if (single.unitary >= 0) lane_gates[-1 - digit] = i;
      } else {
        rows.push_back({digit, i});
        if (single.unitary >= 0) gates.push_back({digit, i});
      }
    }
    add(rows, lanes, steps);
    if (block.trainable) add(gates, lane_gates, torques);
  }
  static void add(const std::vector<std::pair<int, int>>& rows, const int* lanes,
                  std::vector<Step>& steps) {
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto high = [&](size_t j) { return rows[j].first >= kChunkDigits; };
      const bool two = i + 1 < rows.size() && high(i) == high(i + 1);
      const auto &a = rows[i], &b = rows[i + two];
      steps.push_back({two ? Step::kTwo : Step::kRows, a.second, b.second, a.first, b.first});
      i += two;
    }
    if (lanes[0] >= 0 || lanes[1] >= 0)
      steps.push_back({Step::kLanesOnly, lanes[0], lanes[1], -1, -2});
  }
};

// In rows, padding included: it holds 0, and linear maps keep it.
inline int64_t stride_of(int digit) {
  const int64_t rows = int64_t{1} << (2 * digit);
  return digit < kChunkDigits ? rows : rows + rows / kChunk;
}

template <typename T, bool BACK>
void shear(T t, int digit, T* v, int64_t rows) {
  constexpr int kFrom = BACK ? 3 : 0, kTo = BACK ? 0 : 3;
  if (digit >= 0) {
    const int64_t run = kLanes * stride_of(digit);
    for (int64_t k = 0; k < kLanes * rows; k += 4 * run)
      for (int64_t i = k; i < k + run; ++i) v[i + kTo * run] += t * v[i + kFrom * run];
    return;
  }
  const int step = digit == -1 ? 4 : 1;
  T lanes[kLanes];
  for (int l = 0; l < kLanes; ++l) lanes[l] = l / step % 4 == kTo ? t : 0;
  const Strings<T> factor = load(lanes);
  for (int64_t r = 0; r < rows; ++r) {
    Strings<T> row = load(v + kLanes * r);
    add_product(row, factor, step == 4 ? flipped<T, 12>(row) : flipped<T, 3>(row));
    store(row, v + kLanes * r);
  }
}

template <typename T, bool BACK>
void couple_rows(const fedket::Couple& couple, int num_qubits, T* v, int64_t rows) {
  const int64_t first = stride_of(num_qubits - 1 - kLaneQubits - couple.first);
  const int64_t second = stride_of(num_qubits - 1 - kLaneQubits - couple.second);
  const int64_t high = std::max(first, second), low = std::min(first, second);
  const T t = static_cast<T>(couple.relax[0]), u = static_cast<T>(couple.relax[1]);
  int64_t place[16], source[16];
  Vec<T> weight[16];
  for (int i = 0; i < 16; ++i) {
    const auto at = [&](int j) { return kParts<T> * (j / 4 * first + j % 4 * second); };
    place[i] = at(i), source[i] = at(couple.source[i]);
    weight[i] = static_cast<T>(couple.weight[i]) - Vec<T>{};
  }
  auto* vectors = reinterpret_cast<Vec<T>*>(v);
  const auto group = [&](int64_t first_row) {
    for (int64_t k = kParts<T> * first_row; k < kParts<T> * (first_row + low); ++k) {
        Vec<T> x[4][4];
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i)
          x[i / 4][i % 4] = BACK ? vectors[k + place[i]] : weight[i] * vectors[k + source[i]];
        for (int i = 0; i < 4; ++i) x[BACK ? 0 : 3][i] += t * x[BACK ? 3 : 0][i];
        for (int i = 0; i < 4; ++i) x[i][BACK ? 0 : 3] += u * x[i][BACK ? 3 : 0];
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i)
          vectors[k + (BACK ? source[i] : place[i])] =
              BACK ? weight[i] * x[i / 4][i % 4] : x[i / 4][i % 4];
      }
  };
  // Padding is skipped where the digits are on its two sides.
  const int64_t piece = low < kChunk ? std::min(high, kChunk) : high;
  for (int64_t outer = 0; outer < rows; outer += 4 * high)
    for (int64_t start = outer; start < outer + high; start += piece + (piece == kChunk))
      for (int64_t row = start; row < start + piece; row += 4 * low) group(row);
}

template <typename T, bool BACK>
void turn_lanes(const Step& step, const Turn<T>* turns, bool unital, T* v, int64_t rows) {
  const LaneTurn<T> first(turns[std::max(step.first, 0)], unital, BACK, 4);
  const LaneTurn<T> second(turns[std::max(step.second, 0)], unital, BACK, 1);
  for (int64_t r = 0; r < rows; ++r) {
    Strings<T> row = load(v + kLanes * r);
    if (step.first >= 0) row = turned<T, 4>(first, row);
    if (step.second >= 0) row = turned<T, 1>(second, row);
    store(row, v + kLanes * r);
  }
}

template <typename T, bool UNITAL, bool BACK>
void take(const Step& step, const Turn<T>* turns, T* v, int64_t rows) {
  auto* vectors = reinterpret_cast<Vec<T>*>(v);
  const int64_t count = kParts<T> * rows;
  const auto stride = [](int digit) { return kParts<T> * stride_of(digit); };
  switch (step.kind) {
    case Step::kTwo:
      return turn_two<T, UNITAL, BACK>(turns[step.first], turns[step.second], stride(step.digit),
                                       stride(step.other), vectors, count);
    case Step::kRows:
      return turn_rows<T, UNITAL, BACK>(turns[step.first], stride(step.digit), vectors, count);
    case Step::kLanesOnly: return turn_lanes<T, BACK>(step, turns, UNITAL, v, rows);
    default: return shear<T, BACK>(turns[step.first].t[2], step.digit, v, rows);
  }
}

// Steps on leading digits go over all rows, the others together over one chunk after the other.
inline bool is_high(const Step& step) { return step.digit >= kChunkDigits; }

template <typename T, bool BACK>
void apply_steps(const NoisyPlan& plan, bool high, const Turn<T>* turns, T* v, int64_t rows) {
  for (const Step& step : plan.steps) {
    if (is_high(step) != high) continue;
    plan.unital ? take<T, true, BACK>(step, turns, v, rows)
                : take<T, false, BACK>(step, turns, v, rows);
  }
}

// Torques of a block's gates as they add up over an item.
template <typename T>
class Torques {
 public:
  explicit Torques(const NoisyPlan& plan)
      : plan_(plan), sums_(fedket::scratch<Sums>(plan.torques.size())) {
    std::fill_n(sums_.get(), plan.torques.size(), Sums{});
  }

  // Of digits whose four values are in different chunks: `a` is padded, `b` is not.
  void add_high(const T* a, const T* b, int64_t rows) {
    for (size_t i = 0; i < plan_.torques.size(); ++i) {
      const Step& step = plan_.torques[i];
      if (!is_high(step)) continue;
      const int64_t far = chunks_apart(step.digit), near = chunks_apart(step.other);
      const int64_t chunks = rows / (kChunk + 1), run = kParts<T> * kChunk;
      for (int64_t outer = 0; outer < chunks; outer += 4 * far)
        for (int64_t middle = outer; middle < outer + far; middle += group(step, near))
          for (int64_t c = middle; c < middle + near; ++c)
            add(sums_[i], step.kind, a + kLanes * (kChunk + 1) * c, kParts<T> * (kChunk + 1) * far,
                kParts<T> * (kChunk + 1) * near, b + kLanes * kChunk * c, run * far, run * near,
                run);
    }
  }

  void add_chunk(const T* a, const T* b, int64_t rows) {
    for (size_t i = 0; i < plan_.torques.size(); ++i) {
      const Step& step = plan_.torques[i];
      if (is_high(step)) continue;
      if (step.kind == Step::kLanesOnly) {
        add_lanes(step, sums_[i], a, b, rows);
        continue;
      }
      const int64_t far = kParts<T> * stride_of(step.digit);
      const int64_t near = kParts<T> * stride_of(step.other);
      const int64_t count = kParts<T> * rows;
      for (int64_t outer = 0; outer < count; outer += 4 * far)
        for (int64_t k = outer; k < outer + far; k += group(step, near))
          add(sums_[i], step.kind, a + kWidth<T> * k, far, near, b + kWidth<T> * k, far, near,
              near);
    }
  }

  // torques[unitary] += of every gate.
  void read(const NoisyBlock& block, T* torques) const {
    for (size_t i = 0; i < plan_.torques.size(); ++i) {
      const Step& step = plan_.torques[i];
      const auto of = [&](int single) { return torques + 3 * block.singles[single].unitary; };
      if (step.kind == Step::kLanesOnly) {
        if (step.first >= 0) read_torque(sums_[i].lanes[0], 4, of(step.first));
        if (step.second >= 0) read_torque(sums_[i].lanes[1], 1, of(step.second));
      } else {
        read_torque(sums_[i].first, of(step.first));
        if (step.kind == Step::kTwo) read_torque(sums_[i].second, of(step.second));
      }
    }
  }

 private:
  struct Sums {
    Torque<T> first{}, second{};
    LaneTorque<T> lanes[2] = {};
  };

  // How far it is to the next strings that share no I, X, Y, Z of the step's digits.
  static int64_t group(const Step& step, int64_t near) {
    return step.kind == Step::kTwo ? 4 * near : near;
  }

  static int64_t chunks_apart(int digit) { return int64_t{1} << (2 * (digit - kChunkDigits)); }

  static void add(Sums& sums, Step::Kind kind, const T* a, int64_t a_far, int64_t a_near,
                  const T* b, int64_t b_far, int64_t b_near, int64_t run) {
    if (kind == Step::kTwo)
      torque_two(sums.first, sums.second, a, a_far, a_near, b, b_far, b_near, run);
    else
      torque_run(sums.first, a, a_far, b, b_far, run);
  }

  static void add_lanes(const Step& step, Sums& sums, const T* a, const T* b, int64_t rows) {
    LaneTorque<T> first = sums.lanes[0], second = sums.lanes[1];
    for (int64_t r = 0; r < rows; ++r) {
      const Strings<T> x = load(a + kLanes * r), y = load(b + kLanes * r);
      if (step.first >= 0) add_lane_torque<T, 4>(first, x, y);
      if (step.second >= 0) add_lane_torque<T, 1>(second, x, y);
    }
    sums.lanes[0] = first, sums.lanes[1] = second;
  }

  const NoisyPlan& plan_;
  const fedket::Scratch<Sums> sums_;  // of each torque
};

}  // namespace
