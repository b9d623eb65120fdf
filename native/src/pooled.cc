// The XLA custom calls of a convolution and the maximum over its 2×2 tiles.
#include "pooled.h"
#include "threads.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace fedket {
namespace {

using Buffer = ffi::AnyBuffer;

constexpr int64_t kShared = int64_t{1} << 21;  // products worth waking a thread

int64_t axis(Buffer buffer, size_t from_last) {
  return buffer.dimensions()[buffer.dimensions().size() - from_last];
}

template <typename T>
T* numbers(Buffer buffer) {
  return static_cast<T*>(buffer.untyped_data());
}

// kernel (outputs, channels, k, k) and x (channels, rows, columns, batch), each after `vmap`'s axes.
PoolProblem problem_of(Buffer kernel, Buffer x) {
  PoolProblem p{1, axis(x, 4), axis(x, 3), axis(x, 2), axis(x, 1), axis(kernel, 4), axis(kernel, 1)};
  for (size_t i = 0; i + 4 < x.dimensions().size(); ++i) p.instances *= x.dimensions()[i];
  return p;
}

// What else there is would be read beyond its end.
ffi::Error check(const PoolProblem& p, Buffer kernel, Buffer x, Buffer pooled, Buffer winner) {
  const auto type = x.element_type();
  const int64_t size = p.instances * p.outputs * p.tiles() * p.batch;
  const bool types = (type == ffi::DataType::F32 || type == ffi::DataType::F64) &&
                     kernel.element_type() == type && pooled.element_type() == type &&
                     winner.element_type() == ffi::DataType::U8;
  const bool sizes = static_cast<int64_t>(kernel.element_count()) == p.instances * p.outputs * p.taps() &&
                     static_cast<int64_t>(pooled.element_count()) == size &&
                     static_cast<int64_t>(winner.element_count()) == size;
  const bool even = p.out_rows() > 0 && p.out_rows() % 2 == 0 && p.out_columns() > 0 &&
                    p.out_columns() % 2 == 0;
  return types && sizes && even ? ffi::Error::Success()
                                : ffi::Error::InvalidArgument(
                                      "kernel (outputs, channels, k, k), images (channels, rows, "
                                      "columns, samples) and maxima do not fit each other");
}

template <typename T>
std::function<Pooled<T>(int64_t)> arrays(const PoolProblem& p, Buffer kernel, Buffer x) {
  return [=](int64_t i) {
    return Pooled<T>{numbers<T>(kernel) + i * p.outputs * p.taps(), nullptr,
                     numbers<T>(x) + i * p.channels * p.pixels() * p.batch, nullptr, nullptr};
  };
}

template <typename T>
std::function<Pooled<T>(int64_t)> arrays_back(const PoolProblem& p, Buffer kernel, Buffer x,
                                              Buffer winner, Buffer cotangent) {
  return [=, given = arrays<T>(p, kernel, x)](int64_t i) {
    const int64_t size = p.outputs * p.tiles() * p.batch;
    Pooled<T> in = given(i);
    in.winner = numbers<uint8_t>(winner) + i * size, in.cotangent = numbers<T>(cotangent) + i * size;
    return in;
  };
}

template <typename Run>
ffi::Error in_precision(Buffer x, const Run& run) {
  x.element_type() == ffi::DataType::F32 ? run(0.0f) : run(0.0);
  return ffi::Error::Success();
}

ffi::Error run_pool(ffi::ThreadPool pool, Buffer kernel, Buffer bias, Buffer x,
                    ffi::Result<Buffer> result, ffi::Result<Buffer> winner) {
  const PoolProblem p = problem_of(kernel, x);
  const ffi::Error error = check(p, kernel, x, *result, *winner);
  if (error.failure()) return error;
  if (bias.element_type() != x.element_type() ||
      static_cast<int64_t>(bias.element_count()) != p.instances * p.outputs)
    return ffi::Error::InvalidArgument("there must be one bias for each output");
  return in_precision(x, [&](auto zero) {
    using T = decltype(zero);
    const auto given = arrays<T>(p, kernel, x);
    const auto in = [&](int64_t i) {
      Pooled<T> one = given(i);
      one.bias = numbers<T>(bias) + i * p.outputs;
      return one;
    };
    ::pool<T>(p, in, numbers<T>(*result), numbers<uint8_t>(*winner),
              on_threads(pool, p.instances * p.operations() >= kShared));
  });
}

ffi::Error run_images_back(ffi::ThreadPool pool, Buffer kernel, Buffer x, Buffer winner,
                           Buffer cotangent, ffi::Result<Buffer> result) {
  const PoolProblem p = problem_of(kernel, x);
  const ffi::Error error = check(p, kernel, x, cotangent, winner);
  if (error.failure()) return error;
  return in_precision(x, [&](auto zero) {
    using T = decltype(zero);
    pool_images_back<T>(p, arrays_back<T>(p, kernel, x, winner, cotangent), numbers<T>(*result),
                        on_threads(pool, p.instances * p.operations() >= kShared));
  });
}

ffi::Error run_kernel_back(ffi::ThreadPool pool, Buffer kernel, Buffer x, Buffer winner,
                           Buffer cotangent, ffi::Result<Buffer> result,
                           ffi::Result<Buffer> bias) {
  const PoolProblem p = problem_of(kernel, x);
  const ffi::Error error = check(p, kernel, x, cotangent, winner);
  if (error.failure()) return error;
  return in_precision(x, [&](auto zero) {
    using T = decltype(zero);
    pool_kernel_back<T>(p, arrays_back<T>(p, kernel, x, winner, cotangent), numbers<T>(*result),
                        numbers<T>(*bias),
                        on_threads(pool, p.instances * p.operations() >= kShared));
  });
}

}  // namespace
}  // namespace fedket

#define FEDKET_EXPORT extern "C" __attribute__((visibility("default")))
#define FEDKET_ARGUMENT .Arg<ffi::AnyBuffer>()
#define FEDKET_RESULT .Ret<ffi::AnyBuffer>()

FEDKET_EXPORT XLA_FFI_Error* fedket_pooled(XLA_FFI_CallFrame*);
FEDKET_EXPORT XLA_FFI_Error* fedket_pooled_images_back(XLA_FFI_CallFrame*);
FEDKET_EXPORT XLA_FFI_Error* fedket_pooled_kernel_back(XLA_FFI_CallFrame*);

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_pooled, fedket::run_pool,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>() FEDKET_ARGUMENT
                                  FEDKET_ARGUMENT FEDKET_ARGUMENT FEDKET_RESULT FEDKET_RESULT);

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_pooled_images_back, fedket::run_images_back,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>() FEDKET_ARGUMENT
                                  FEDKET_ARGUMENT FEDKET_ARGUMENT FEDKET_ARGUMENT FEDKET_RESULT);

XLA_FFI_DEFINE_HANDLER_SYMBOL(fedket_pooled_kernel_back, fedket::run_kernel_back,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>() FEDKET_ARGUMENT
                                  FEDKET_ARGUMENT FEDKET_ARGUMENT FEDKET_ARGUMENT FEDKET_RESULT
                                      FEDKET_RESULT);
