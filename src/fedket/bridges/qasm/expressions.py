"""OpenQASM 3's arithmetic: what stands in a gate's parentheses, or between brackets."""

from collections.abc import Mapping
from math import e, pi, tau

from openqasm3 import ast

from fedket.bridges.expressions import FUNCTIONS, Angle, call
from fedket.errors import CircuitError

CONSTANTS = {"pi": pi, "π": pi, "tau": tau, "τ": tau, "euler": e, "ℇ": e}

NAMES = {"acos": "arccos", "asin": "arcsin", "atan": "arctan", "ln": "log"}
"""As Qiskit writes functions."""

Values = Mapping[str, Angle | tuple[Angle, ...]]
"""Name -> its value; an array's values."""


def read_angle(node: ast.Expression, known: Values) -> Angle:
    """The value of an expression.

    Args:
        node: The expression.
        known: Parameters, constants, and arguments of the gate that is being expanded.

    Raises:
        CircuitError: It is none that fedket knows.
    """
    match node:
        case ast.IntegerLiteral() | ast.FloatLiteral():
            return Angle(_finite(node.value))
        case ast.Identifier():
            return _named(node.name, known)
        case ast.IndexExpression():
            return _indexed(node, known)
        case ast.UnaryExpression() if node.op.name == "-":
            return read_angle(node.expression, known).times(-1.0)
        case ast.BinaryExpression():
            return _binary(node, known)
        case ast.FunctionCall():
            name = NAMES.get(node.name.name, node.name.name)
            if name == "pow":
                name = "**"
            if name in FUNCTIONS and name not in ("*", "/"):
                return call(name, *(read_angle(a, known) for a in _arguments(node, name)))
            raise CircuitError(f"unknown function `{node.name.name}`")
    raise CircuitError(f"`{type(node).__name__}` is no part of an angle that fedket reads")


def read_integer(node: ast.Expression, known: Values, what: str) -> int:
    """The value of an expression that is a whole number.

    Raises:
        CircuitError: It is none.
    """
    value = read_angle(node, known)
    if value.terms or value.constant != int(value.constant):
        raise CircuitError(f"{what} should be a whole number")
    return int(value.constant)


def _arguments(node: ast.FunctionCall, name: str) -> list[ast.Expression]:
    wanted = 2 if name == "**" else 1
    if len(node.arguments) != wanted:
        raise CircuitError(f"`{node.name.name}` takes {wanted} value{'s' * (wanted > 1)}")
    return node.arguments


def _binary(node: ast.BinaryExpression, known: Values) -> Angle:
    left, right = read_angle(node.lhs, known), read_angle(node.rhs, known)
    match node.op.name:
        case "+":
            return left.plus(right)
        case "-":
            return left.plus(right.times(-1.0))
        case "*" | "/" | "**":
            return call(node.op.name, left, right)
    raise CircuitError(f"`{node.op.name}` is no operation of angles that fedket reads")


def _finite(value: int | float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if abs(number) == float("inf"):
        raise CircuitError("a number is too large")
    return number


def _named(name: str, known: Values) -> Angle:
    value = known.get(name)
    if isinstance(value, Angle):
        return value
    if value is not None:
        raise CircuitError(f"`{name}` is an array; name one of its entries, `{name}[0]`")
    if name in CONSTANTS:
        return Angle(CONSTANTS[name])
    raise CircuitError(f"unknown name `{name}`; declare it: `input float[64] {name};`")


def _indexed(node: ast.IndexExpression, known: Values) -> Angle:
    name = str(getattr(node.collection, "name", ""))
    values = known.get(name)
    if not isinstance(values, tuple) or not isinstance(node.index, list) or len(node.index) != 1:
        raise CircuitError(f"`{name}[…]` is no entry of an array of numbers")
    if not isinstance(node.index[0], ast.Expression):
        raise CircuitError(f"`{name}[…]`: an angle is one entry, no range of them")
    index = read_integer(node.index[0], known, f"the index of `{name}`")
    if not 0 <= index < len(values):
        raise CircuitError(f"`{name}[{index}]`: entries go from 0 to {len(values) - 1}")
    entry: Angle = values[index]
    return entry
