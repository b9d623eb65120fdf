// The four XLA custom calls of exact noise.
#include "forms.h"
#include "heisenberg.h"
#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace fedket {
namespace {

using Buffer = ffi::AnyBuffer;

// Axes before an array's own are `vmap`'s; an operand that is the same for all has length 1 there.
struct Instances {
  std::vector<int64_t> axes;
  Instances(Buffer result, size_t own) {
    const auto shape = result.dimensions();
    axes.assign(shape.begin(), shape.end() - own);
  }
  int64_t count() const {
    int64_t total = 1;
    for (const int64_t axis : axes) total *= axis;
    return total;
  }
  // Which of a buffer's arrays is an instance's.
  int64_t in(Buffer buffer, int64_t instance) const {
    const auto shape = buffer.dimensions();
    int64_t place = 0, stride = 1;
    for (size_t i = axes.size(); i-- > 0; instance /= axes[i]) {
      place += shape[i] > 1 ? instance % axes[i] * stride : 0;
      stride *= shape[i];
    }
    return place;
  }
};

int64_t axis(Buffer buffer, size_t from_last) {
  return buffer.dimensions()[buffer.dimensions().size() - from_last];
}

bool is_complex(Buffer buffer) {
  return buffer.element_type() == ffi::DataType::C64 || buffer.element_type() == ffi::DataType::C128;
}

template <typename T>
T* part(const Instances& instances, Buffer buffer, size_t own, int64_t instance) {
  int64_t size = is_complex(buffer) ? 2 : 1;
  for (size_t i = 1; i <= own; ++i) size *= axis(buffer, i);
  return static_cast<T*>(buffer.untyped_data()) + size * instances.in(buffer, instance);
}

bool is_single(Buffer buffer) {
  return buffer.element_type() == ffi::DataType::F32 || buffer.element_type() == ffi::DataType::C64;
}

// Real arrays and complex ones of the same precision.
bool fit(Buffer real, Buffer complex) {
  const auto type = real.element_type(), other = complex.element_type();
  return (type == ffi::DataType::F32 && other == ffi::DataType::C64) ||
         (type == ffi::DataType::F64 && other == ffi::DataType::C128);
}

ffi::Error wrong_type() {
  return ffi::Error::InvalidArgument("arrays must all be of single or all of double precision");
}

bool one_for_all(Buffer weights) {
  return weights.element_count() ==
         static_cast<size_t>(axis(weights, 1) * axis(weights, 2));
}

ffi::Error own_weights() {
  return ffi::Error::InvalidArgument("noise is the same for all instances of a call");
}

// Sizes that are worth waking a thread, see `ffi.cc`.
constexpr int64_t kShared = int64_t{1} << 19;

// Blocks as numbers: start, trainable, images of the bits if it moves or a couple's qubits and
// 16 sources, singles, (qubit, unitary) each; `noise` 18 numbers for a couple, 16 for each single.
NoisyProblem read_noisy(int64_t num_qubits, ffi::Span<const int64_t> code,
                        ffi::Span<const double> noise, Buffer unitaries, Buffer observables,
                        int64_t instances) {
  NoisyProblem problem{static_cast<int>(num_qubits), {}, axis(unitaries, 4), axis(unitaries, 3),
                       axis(observables, 2), instances};
  const double* transfer = noise.begin();
  for (size_t at = 0; at < code.size();) {
    const auto next = [&] { return static_cast<int>(code[at++]); };
    NoisyBlock block{static_cast<NoisyBlock::Start>(next()), false, {}, {}, {}};
    block.trainable = next() == 1;
    if (block.start == NoisyBlock::kMoves)
      for (int64_t bit = 0; bit < 2 * num_qubits; ++bit) block.images.push_back(next());
    if (block.start == NoisyBlock::kCouple) {
      Couple couple{next(), 0, {}, {}, {}};
      couple.second = next();
      for (int& source : couple.source) source = next();
      std::copy_n(transfer, 16, couple.weight);
      std::copy_n(transfer + 16, 2, couple.relax);
      transfer += 18;
      block.couple.push_back(couple);
    }
    for (int count = next(); count > 0; --count, transfer += 16) {
      Single single{next(), 0, {}};
      single.unitary = next();
      std::copy_n(transfer, 16, single.noise);
      block.singles.push_back(single);
    }
    problem.blocks.push_back(block);
  }
  return problem;
}

bool is_shared(const NoisyProblem& problem) {
  int64_t steps = 0;
  for (const NoisyBlock& block : problem.blocks) steps += 1 + block.singles.size();
  return problem.instances * problem.observables * problem.strings() * problem.layers * steps >=
         kShared;
}

ffi::Error run_back(ffi::ThreadPool pool, Buffer weights, Buffer unitaries, Buffer observables,
                    ffi::Result<Buffer> result, ffi::RemainingRets kept, int64_t num_qubits,
                    ffi::Span<const int64_t> code, ffi::Span<const double> noise) {
  if (!fit(weights, unitaries) || !fit(observables, unitaries)) return wrong_type();
  if (!one_for_all(weights)) return own_weights();
  const Instances instances(*result, 2);
  const NoisyProblem problem =
      read_noisy(num_qubits, code, noise, unitaries, observables, instances.count());
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const auto arrays = [&](int64_t i) {
      Back<T> mine{part<T>(instances, unitaries, 4, i), part<T>(instances, observables, 2, i),
                   part<T>(instances, *result, 2, i), {}};
      for (size_t j = 0; j < kept.size(); ++j)
        mine.kept.push_back(part<T>(instances, **kept.get<Buffer>(j), 3, i));
      return mine;
    };
    observables_back<T>(problem, static_cast<T*>(weights.untyped_data()), arrays,
                        on_threads(pool, is_shared(problem)));
    return ffi::Error::Success();
  };
  return is_single(weights) ? run(0.0f) : run(0.0);
}

ffi::Error run_forth(ffi::ThreadPool pool, Buffer weights, Buffer unitaries, Buffer cotangent,
                     ffi::RemainingArgs kept, ffi::Result<Buffer> unitary_cotangent,
                     ffi::Result<Buffer> result, int64_t num_qubits,
                     ffi::Span<const int64_t> code, ffi::Span<const double> noise) {
  if (!fit(weights, unitaries) || !fit(cotangent, unitaries)) return wrong_type();
  if (!one_for_all(weights)) return own_weights();
  const Instances instances(*result, 2);
  const NoisyProblem problem =
      read_noisy(num_qubits, code, noise, unitaries, cotangent, instances.count());
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const auto arrays = [&](int64_t i) {
      Forth<T> mine{part<T>(instances, unitaries, 4, i), part<T>(instances, cotangent, 2, i), {},
                    part<T>(instances, *unitary_cotangent, 4, i),
                    part<T>(instances, *result, 2, i)};
      for (size_t j = 0; j < kept.size(); ++j)
        mine.kept.push_back(part<T>(instances, *kept.get<Buffer>(j), 3, i));
      return mine;
    };
    cotangents_forth<T>(problem, static_cast<T*>(weights.untyped_data()), arrays,
                        on_threads(pool, is_shared(problem)));
    return ffi::Error::Success();
  };
  return is_single(weights) ? run(0.0f) : run(0.0);
}

int64_t num_qubits_of(Buffer psi) { return __builtin_ctzll(axis(psi, 2)); }

bool is_shared(const FormsProblem& problem) {
  const int64_t entries = int64_t{1} << (2 * problem.num_qubits);
  return problem.instances * problem.batch * problem.observables * entries >= kShared;
}

ffi::Error run_values(ffi::ThreadPool pool, Buffer observables, Buffer psi,
                      ffi::Result<Buffer> result) {
  if (!fit(observables, psi)) return wrong_type();
  const Instances instances(*result, 2);
  const FormsProblem problem{static_cast<int>(num_qubits_of(psi)), instances.count(),
                             axis(observables, 2), axis(psi, 1)};
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const auto arrays = [&](int64_t i) {
      return Values<T>{part<T>(instances, observables, 2, i), part<T>(instances, psi, 2, i),
                       part<T>(instances, *result, 2, i)};
    };
    values_of<T>(problem, arrays, on_threads(pool, is_shared(problem)));
    return ffi::Error::Success();
  };
  return is_single(observables) ? run(0.0f) : run(0.0);
}

ffi::Error run_averages(ffi::ThreadPool pool, Buffer psi, Buffer cotangent,
                        ffi::Result<Buffer> result) {
  if (!fit(cotangent, psi)) return wrong_type();
  const Instances instances(*result, 2);
  const FormsProblem problem{static_cast<int>(num_qubits_of(psi)), instances.count(),
                             axis(cotangent, 1), axis(psi, 1)};
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    const auto arrays = [&](int64_t i) {
      return Averages<T>{part<T>(instances, psi, 2, i), part<T>(instances, cotangent, 2, i),
                         part<T>(instances, *result, 2, i)};
    };
    averages_of<T>(problem, arrays, on_threads(pool, is_shared(problem)));
    return ffi::Error::Success();
  };
  return is_single(cotangent) ? run(0.0f) : run(0.0);
}

}  // namespace
}  // namespace fedket

#define FEDKET_EXPORT extern "C" __attribute__((visibility("default")))

FEDKET_EXPORT XLA_FFI_Error* fedket_observables_back(XLA_FFI_CallFrame*);
FEDKET_EXPORT XLA_FFI_Error* fedket_cotangents_forth(XLA_FFI_CallFrame*);
FEDKET_EXPORT XLA_FFI_Error* fedket_values(XLA_FFI_CallFrame*);
FEDKET_EXPORT XLA_FFI_Error* fedket_averages(XLA_FFI_CallFrame*);

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_observables_back, fedket::run_back,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .RemainingRets()
                                  .Attr<int64_t>("num_qubits")
                                  .Attr<ffi::Span<const int64_t>>("code")
                                  .Attr<ffi::Span<const double>>("noise"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_cotangents_forth, fedket::run_forth,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .RemainingArgs()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<int64_t>("num_qubits")
                                  .Attr<ffi::Span<const int64_t>>("code")
                                  .Attr<ffi::Span<const double>>("noise"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_values, fedket::run_values,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_averages, fedket::run_averages,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>());
