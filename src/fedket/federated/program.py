"""Compile a program once for all numbers, seeds and data of one shape.

`Program(function, bound)` is `jax.jit(partial(function, bound))`, but programs whose `bound` are
alike are one program. What is bound holds functions (of a model, a strategy, an optimiser) and
settings (a batch size) next to numbers (a learning rate), and its leaves are told apart:

- Arrays and floats are arguments of the compiled program: another value compiles nothing.
- Everything else chooses the program: functions, integers, words, None, and how they are nested.
  Functions are equal if they come from the same `def` and close over equal things, so that a
  factory may be called anew for every run.

A number that a function closes over is a constant of the program. To make it an argument, bind
it beside the function: `jax.tree_util.Partial(step, learning_rate)` is a `functools.partial`
that JAX can look into.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from types import FunctionType, MethodType
from typing import Any

import jax
import numpy as np
import optax
from jax.api_util import shaped_abstractify
from jax.extend.core import Jaxpr
from jax.sharding import NamedSharding
from jax.tree_util import Partial
from jaxtyping import Array, Float

from fedket.quantum.native import for_any_device

Number = float | Float[Array, ""]
"""A number of an algorithm: given as a float, seen as an array by a program that it is bound to."""


def tunable(
    make: Callable[..., optax.GradientTransformation], *arguments: Any
) -> optax.GradientTransformation:
    """`make(*arguments)`, an optax optimiser, with its numbers as arguments of programs.

    `optax.adam(0.05)` closes over its learning rate, and a program with it compiles anew for
    another one; `tunable(optax.adam, 0.05)` does not. Numbers from which optax computes others in
    Python, such as Adam's decay rates, round differently as arguments.
    """
    init, update = Partial(_init, make, arguments), Partial(_update, make, arguments)
    return optax.GradientTransformationExtraArgs(init, update)


def _init(make: Callable[..., Any], arguments: tuple[Any, ...], params: Any) -> Any:
    return make(*arguments).init(params)


def _update(make: Callable[..., Any], arguments: tuple[Any, ...], *given: Any, **extra: Any) -> Any:
    return optax.with_extra_args_support(make(*arguments)).update(*given, **extra)


class Program:
    """A traceable function of what is bound and of arrays.

    Args:
        function: (bound, *arrays) -> arrays; a module's own function, or always the same object.
        bound: Any tree, see above.
        out_shardings: Where results shall lie; None leaves it to JAX.
        place: Puts numbers where arrays lie, once; None leaves it to JAX, at every call.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        bound: Any,
        out_shardings: NamedSharding | None = None,
        place: Callable[[Any], Any] | None = None,
    ) -> None:
        self._function, self._shared = function, _shared(function, out_shardings)
        fixed, numbers = _split(bound)
        self._fixed, self._numbers = _first_of_equal(fixed), place(numbers) if place else numbers

    def __call__(self, *arrays: Any) -> Any:
        """Run it; compiles if nothing alike was run before."""
        return self._shared(self._fixed, self._numbers, *arrays)

    def compile(self, *arrays: Any) -> Callable[..., Any]:
        """Compile ahead for such arrays; the result takes no others."""
        lowered = self._shared.lower(self._fixed, self._numbers, *arrays)
        return partial(lowered.compile(), self._numbers)

    def trace(self, *arrays: Any) -> Jaxpr:
        """Return its operations on arrays of such shapes, for any device; nothing compiles or runs.

        Never the trace that runs, which may leave out what other devices would do.
        """
        leaves, structure = jax.tree.flatten((self._numbers, *arrays))
        avals = tuple(map(shaped_abstractify, leaves))
        return _traced(self._function, self._fixed, structure, avals)


@lru_cache(maxsize=64)
def _traced(
    function: Callable[..., Any], fixed: "_Fixed", structure: Any, avals: tuple[Any, ...]
) -> Jaxpr:
    def program(numbers: list[Any], *arrays: Any) -> Any:
        return function(fixed.with_numbers(numbers), *arrays)

    shapes = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding, weak_type=a.weak_type)
        for a in avals
    ]
    with for_any_device():
        traced: Jaxpr = jax.make_jaxpr(program)(*jax.tree.unflatten(structure, shapes)).jaxpr
    return traced


@lru_cache(maxsize=64)
def _shared(function: Callable[..., Any], out_shardings: NamedSharding | None) -> Any:
    def program(fixed: _Fixed, numbers: list[Any], *arrays: Any) -> Any:
        return function(fixed.with_numbers(numbers), *arrays)

    program.__name__ = function.__name__
    if out_shardings is None:
        return jax.jit(program, static_argnums=0)
    return jax.jit(program, static_argnums=0, out_shardings=out_shardings)


_NUMBER = object()
"""Stands where a number was taken out."""


class _Fixed:
    """A tree without its numbers, equal to others that make the same program."""

    def __init__(self, structure: Any, leaves: list[Any]) -> None:
        self._structure, self._leaves = structure, leaves
        self._identity = structure, tuple(map(_identity, leaves))
        self._hash = hash(self._identity)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, _Fixed) and self._identity == other._identity

    def with_numbers(self, numbers: list[Any]) -> Any:
        """Put the numbers back in their places."""
        given = iter(numbers)
        leaves = [next(given) if leaf is _NUMBER else leaf for leaf in self._leaves]
        return jax.tree.unflatten(self._structure, leaves)


@lru_cache(maxsize=256)
def _first_of_equal(fixed: _Fixed) -> _Fixed:
    """One object for all that are equal, so that calls need not compare what is inside."""
    return fixed


def _split(tree: Any) -> tuple[_Fixed, list[Any]]:
    leaves, structure = jax.tree.flatten(tree)
    is_number = [isinstance(leaf, float | jax.Array | np.ndarray) for leaf in leaves]
    both = list(zip(leaves, is_number, strict=True))
    fixed = _Fixed(structure, [_NUMBER if number else leaf for leaf, number in both])
    numbers = [leaf for leaf, number in both if number]
    # NumPy's float64 is a float, too; Python's takes the precision of what it meets.
    return fixed, [float(n) if isinstance(n, float) else n for n in numbers]


class _Same:
    """Equal to itself only."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __hash__(self) -> int:
        return id(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value


def _identity(value: Any, above: tuple[int, ...] = ()) -> Hashable:
    """What two values have in common that are interchangeable in a traced function."""
    if id(value) in above:  # a function that calls itself closes over itself
        return above.index(id(value))
    inside = partial(_identity, above=(*above, id(value)))
    match value:
        case FunctionType():
            function = _unchecked(value)
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
            constants = cells, function.__defaults__, function.__kwdefaults__
            return _Same(function.__code__), _Same(function.__globals__), inside(constants)
        case MethodType():
            return MethodType, inside(value.__func__), inside(value.__self__)
        case partial():
            return type(value), inside((value.func, value.args, value.keywords))
        case tuple() | list():
            return type(value), tuple(map(inside, value))
        case dict():
            return type(value), tuple((inside(k), inside(v)) for k, v in value.items())
        case float():
            return type(value), value.hex()
        case jax.Array() | np.ndarray():
            return _Same(value)
        case Hashable():
            return type(value), value
    return _Same(value)


def _unchecked(function: FunctionType) -> FunctionType:
    """What jaxtyping checks the shapes of: its wrapper, another one each time, computes nothing."""
    while function.__globals__["__name__"] == "jaxtyping._decorator":
        function = vars(function)["__wrapped__"]
    return function
