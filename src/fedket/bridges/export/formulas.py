"""Angles as text that OpenQASM and Python read alike."""

from collections.abc import Mapping

from fedket.bridges.expressions import Angle, Symbol


def angle_text(angle: Angle, feature: str, names: Mapping[str, str] = {}) -> str:
    """An angle.

    Args:
        angle: Without weights.
        feature: How feature {} is written.
        names: Function -> what it is called there, if not the same.
    """

    def symbol_text(symbol: Symbol) -> str:
        if symbol.name == "feature":
            return feature.format(symbol.place)
        given = [angle_text(argument, feature, names) for argument in symbol.arguments]
        if symbol.name in ("*", "/", "**"):
            left, right = given
            return f"({left}) {symbol.name} ({right})"
        return f"{names.get(symbol.name, symbol.name)}({given[0]})"

    terms = [] if angle.constant == 0 and angle.terms else [repr(angle.constant)]
    for symbol, factor in angle.terms:
        text = symbol_text(symbol)
        terms.append(text if factor == 1 else f"{factor!r} * ({text})")
    return " + ".join(terms)
