"""What a damaged disk, a stranger or a liar may hand us: a function of a seed.

Half of it is random; the other half is something true of which a little was changed, as that gets
further in. `refused` is the law of all these tests: an error of ours in one line, or none.
"""

import json
import random
from contextlib import contextmanager
from typing import Any

from fedket.cli.failures import one_line
from fedket.errors import FedketError

INTS = (0, 1, -1, 2, 255, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30)
FLOATS = (0.0, -0.0, 0.5, 1e-320, 1e300, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "a", "0", "\ud800", "\x1b[31m", "one\ntwo", "../../etc/passwd", "a" * 10_000, "\0")
TOKENS = (
    b"",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\x1b[31m",
    b"9" * 5000,
    b"1e999",
    b"NaN",
    b"null",
    b"-1",
    b"[" * 2000,
    b'{"a":' * 2000,
    b"a." * 1500,
    b"\n",
    b'"',
    b"]",
    b"}",
    b"= ",
    b"#",
)


class Garbage(random.Random):
    """Draws it; `Garbage(seed)`."""

    def value(self, depth: int = 3) -> Any:
        """Anything that a message, a JSON text or a TOML file can hold, and a little more."""
        match self.randrange(9 if depth else 6):
            case 0:
                return self.choice((None, True, False))
            case 1:
                return self.choice(INTS)
            case 2:
                return self.choice(FLOATS)
            case 3:
                return self.choice(TEXTS)
            case 4 | 5:
                return self.randbytes(self.choice((0, 1, 8, 16, 100)))
            case 6 | 7:
                return [self.value(depth - 1) for _ in range(self.randrange(4))]
        return {self.choice(TEXTS): self.value(depth - 1) for _ in range(self.randrange(4))}

    def bent(self, value: Any) -> Any:
        """Something true with something changed."""
        if self.random() < 0.1:
            return self.value()
        match value:
            case dict() if value:
                return self._bent_table(value)
            case list() | tuple() if value:
                return self._bent_list(list(value))
            case bool() | None:
                return self.value()
            case int():
                return self.choice((value + 1, value - 1, -value, 2 * value, self.choice(INTS)))
            case float():
                return self.choice((-value, 1e9 * value, self.choice(FLOATS)))
            case bytes():
                return self.content(value)
            case str():
                return self.choice((value[:-1], value + value, value.upper(), self.choice(TEXTS)))
        return self.value()

    def _bent_table(self, table: dict[Any, Any]) -> dict[Any, Any]:
        table, key = dict(table), self.choice(list(table))
        match self.randrange(6):
            case 0:
                del table[key]
            case 1:
                table[self.choice(TEXTS)] = self.value()
            case _:
                table[key] = self.bent(table[key])
        return table

    def _bent_list(self, items: list[Any]) -> list[Any]:
        place = self.randrange(len(items))
        match self.randrange(6):
            case 0:
                del items[place]
            case 1:
                items.insert(place, self.value())
            case 2:
                items.append(items[place])
            case _:
                items[place] = self.bent(items[place])
        return items

    def content(self, content: bytes) -> bytes:
        """The bytes of a file or field with some flipped, cut off, doubled or put in."""
        changed = bytearray(content)
        for _ in range(self.choice((1, 1, 2, 5))):
            place = self.randrange(len(changed) + 1)
            match self.randrange(6):
                case 0:
                    del changed[place:]
                case 1:
                    del changed[place : place + self.choice((1, 4, 50))]
                case 2:
                    changed[place:place] = self.choice(TOKENS)
                case 3:
                    changed[place:place] = changed[place : place + 50]
                case _:
                    for i in range(place, min(place + self.choice((1, 1, 4)), len(changed))):
                        changed[i] ^= self.randrange(1, 256)
        return bytes(changed)

    def json(self, content: bytes) -> bytes:
        """A JSON text with a value changed, or any bytes of it."""
        if self.random() < 0.3:
            return self.content(content)
        bent = self.bent(json.loads(content))
        return json.dumps(bent, default=lambda value: value.hex()).encode("utf-8", "surrogatepass")


@contextmanager
def refused():
    """What is done inside works, or is refused by an error of ours that fits one printed line."""
    line = ""
    try:
        yield
    except FedketError as error:
        line = one_line(error)
    assert line.isprintable()
