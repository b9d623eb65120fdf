// XLA custom calls of the noiseless engine, and the same with Paulis before gates.
#include "problem.h"
#include "simulate.h"
#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace fedket {

// Amplitudes times gates that are worth waking a thread: about a quarter of a millisecond.
constexpr int64_t kShared = int64_t{1} << 19;

bool is_shared(const Problem& problem) {
  int64_t gates = 0;
  for (const Block& block : problem.blocks) gates += block.qubits.size();
  return problem.instances * problem.batch * problem.dim() * problem.layers * gates >= kShared;
}

// Blocks as numbers: 0, moves, (gate, first, second) each, qubits, each; or 1 (2 or 3: the
// first or second one is a control), qubits, each.
Problem read_problem(int64_t num_qubits, ffi::Span<const int64_t> code, ffi::AnyBuffer matrices,
                     ffi::AnyBuffer states) {
  const auto shape = states.dimensions(), per_layer = matrices.dimensions();
  Problem problem{static_cast<int>(num_qubits), {}, 0, 0, 1, 0};
  problem.layers = per_layer[per_layer.size() - 2];
  problem.matrices = per_layer[per_layer.size() - 1];
  problem.batch = shape[shape.size() - 1];
  for (size_t i = 0; i + 2 < shape.size(); ++i) problem.instances *= shape[i];
  int64_t offset = 0;
  for (size_t at = 0; at < code.size();) {
    const auto next = [&] { return static_cast<int>(code[at++]); };
    const int kind = next();
    Block block{kind > 0, {}, {}, offset, kind - 2};
    if (!block.window)
      for (int count = next(); count > 0; --count) {
        const int gate = next(), first = next();
        block.moves.push_back({gate, first, next()});
      }
    for (int count = next(); count > 0; --count) block.qubits.push_back(next());
    offset += block.window ? int64_t{1} << (2 * block.qubits.size()) : 4 * num_qubits;
    problem.blocks.push_back(block);
  }
  return problem;
}

// A frame stands for one-qubit gates after moves; what else there is would be read wrongly.
ffi::Error check_paulis(const Problem& problem, ffi::AnyBuffer paulis) {
  bool fit = paulis.element_type() == ffi::DataType::U8;
  for (const Block& block : problem.blocks) fit = fit && !block.window;
  const int64_t blocks = static_cast<int64_t>(problem.blocks.size());
  const int64_t count = problem.instances * problem.layers * blocks * problem.num_qubits;
  fit = fit && static_cast<int64_t>(paulis.element_count()) == count * problem.batch;
  return fit ? ffi::Error::Success()
             : ffi::Error::InvalidArgument(
                   "Paulis must be uint8 (layers, blocks, qubits, columns), before products alone");
}

// Matrices of another precision than the states would be read beyond their end.
bool is_known(ffi::AnyBuffer states, ffi::AnyBuffer others) {
  const auto type = states.element_type();
  const bool complex = type == ffi::DataType::C64 || type == ffi::DataType::C128;
  return complex && others.element_type() == type;
}

ffi::Error wrong_type() {
  return ffi::Error::InvalidArgument("states and matrices must all be complex64 or complex128");
}

template <typename T>
T* numbers(ffi::AnyBuffer buffer) {
  return static_cast<T*>(buffer.untyped_data());
}

ffi::Error forward_with(ffi::ThreadPool pool, const Problem& problem, const uint8_t* paulis,
                        ffi::AnyBuffer matrices, ffi::AnyBuffer states, ffi::AnyBuffer result) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    forward<T>(problem, {paulis, numbers<T>(matrices), numbers<T>(states), numbers<T>(result)},
               on_threads(pool, is_shared(problem)));
    return ffi::Error::Success();
  };
  return states.element_type() == ffi::DataType::C64 ? run(0.0f) : run(0.0);
}

ffi::Error backward_with(ffi::ThreadPool pool, const Problem& problem, const uint8_t* paulis,
                         ffi::AnyBuffer matrices, ffi::AnyBuffer states, ffi::AnyBuffer cotangent,
                         ffi::AnyBuffer matrix_cotangent, ffi::AnyBuffer state_cotangent) {
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    backward<T>(problem,
                {paulis, numbers<T>(matrices), numbers<T>(states), numbers<T>(cotangent),
                 numbers<T>(state_cotangent), numbers<T>(matrix_cotangent)},
                on_threads(pool, is_shared(problem)));
    return ffi::Error::Success();
  };
  return states.element_type() == ffi::DataType::C64 ? run(0.0f) : run(0.0);
}

using Result = ffi::Result<ffi::AnyBuffer>;
using Code = ffi::Span<const int64_t>;

ffi::Error run_forward(ffi::ThreadPool pool, ffi::AnyBuffer matrices, ffi::AnyBuffer states,
                       Result result, int64_t num_qubits, Code code) {
  if (!is_known(states, matrices)) return wrong_type();
  const Problem problem = read_problem(num_qubits, code, matrices, states);
  return forward_with(pool, problem, nullptr, matrices, states, *result);
}

ffi::Error run_backward(ffi::ThreadPool pool, ffi::AnyBuffer matrices, ffi::AnyBuffer states,
                        ffi::AnyBuffer cotangent, Result matrix_cotangent, Result state_cotangent,
                        int64_t num_qubits, Code code) {
  if (!is_known(states, matrices) || !is_known(states, cotangent)) return wrong_type();
  const Problem problem = read_problem(num_qubits, code, matrices, states);
  return backward_with(pool, problem, nullptr, matrices, states, cotangent, *matrix_cotangent,
                       *state_cotangent);
}

ffi::Error run_trajectories(ffi::ThreadPool pool, ffi::AnyBuffer paulis, ffi::AnyBuffer matrices,
                            ffi::AnyBuffer states, Result result, int64_t num_qubits, Code code) {
  if (!is_known(states, matrices)) return wrong_type();
  const Problem problem = read_problem(num_qubits, code, matrices, states);
  const ffi::Error error = check_paulis(problem, paulis);
  if (error.failure()) return error;
  return forward_with(pool, problem, numbers<uint8_t>(paulis), matrices, states, *result);
}

ffi::Error undo_trajectories(ffi::ThreadPool pool, ffi::AnyBuffer paulis, ffi::AnyBuffer matrices,
                             ffi::AnyBuffer states, ffi::AnyBuffer cotangent,
                             Result matrix_cotangent, Result state_cotangent, int64_t num_qubits,
                             Code code) {
  if (!is_known(states, matrices) || !is_known(states, cotangent)) return wrong_type();
  const Problem problem = read_problem(num_qubits, code, matrices, states);
  const ffi::Error error = check_paulis(problem, paulis);
  if (error.failure()) return error;
  return backward_with(pool, problem, numbers<uint8_t>(paulis), matrices, states, cotangent,
                       *matrix_cotangent, *state_cotangent);
}

}  // namespace fedket

#define FEDKET_EXPORT extern "C" __attribute__((visibility("default")))

// Which library to load on this machine: the level of x86-64 (psABI), 0 elsewhere.
FEDKET_EXPORT int fedket_level() {
#if defined(__x86_64__)
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v3 ? (v4 ? 4 : 3) : 2;
#else
  return 0;
#endif
}

FEDKET_EXPORT XLA_FFI_Error* fedket_forward(XLA_FFI_CallFrame*);
FEDKET_EXPORT XLA_FFI_Error* fedket_backward(XLA_FFI_CallFrame*);
FEDKET_EXPORT XLA_FFI_Error* fedket_trajectories(XLA_FFI_CallFrame*);
FEDKET_EXPORT XLA_FFI_Error* fedket_trajectories_back(XLA_FFI_CallFrame*);

#define FEDKET_ARGUMENT .Arg<ffi::AnyBuffer>()
#define FEDKET_RESULT .Ret<ffi::AnyBuffer>()
#define FEDKET_CIRCUIT .Attr<int64_t>("num_qubits").Attr<ffi::Span<const int64_t>>("code")

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_forward, fedket::run_forward,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>() FEDKET_ARGUMENT
                                  FEDKET_ARGUMENT FEDKET_RESULT FEDKET_CIRCUIT);

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_backward, fedket::run_backward,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>() FEDKET_ARGUMENT
                                  FEDKET_ARGUMENT FEDKET_ARGUMENT FEDKET_RESULT FEDKET_RESULT
                                      FEDKET_CIRCUIT);

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_trajectories, fedket::run_trajectories,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>() FEDKET_ARGUMENT
                                  FEDKET_ARGUMENT FEDKET_ARGUMENT FEDKET_RESULT FEDKET_CIRCUIT);

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_trajectories_back, fedket::undo_trajectories,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>() FEDKET_ARGUMENT
                                  FEDKET_ARGUMENT FEDKET_ARGUMENT FEDKET_ARGUMENT FEDKET_RESULT
                                      FEDKET_RESULT FEDKET_CIRCUIT);
