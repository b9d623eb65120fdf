"""What clients differ in, as an experiment names it: a number, a list, a file or a distribution."""

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from fedket.errors import ConfigError
from fedket.federated.draws import (
    Draw,
    constant,
    exponential,
    listed,
    lognormal,
    periodic,
    uniform,
)
from fedket.schema import (
    FileBeside,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Table,
    read_beside,
)
from fedket.section import Context, Info, Kind, Section

Fraction = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class ConditionConfig(Section):
    """Base of conditions; `build` returns a `Draw`."""


class ConstantConfig(ConditionConfig):
    """The same number for all clients; `KEY = 0.5` is short for it."""

    kind: Literal["constant"] = "constant"
    value: Finite
    """The number."""

    def build(self, context: Context) -> Draw:
        """The draw."""
        return constant(self.value)


class ListedConfig(ConditionConfig):
    """A number for each client; `KEY = [0.5, 0.6]` is short for it."""

    kind: Literal["listed"] = "listed"
    values: tuple[Finite, ...]
    """The numbers, in the order of the clients."""

    def check(self, context: Context) -> None:
        """Refuse a list that leaves clients out."""
        if len(self.values) != context.num_clients:
            raise ConfigError(
                f"conditions: a list of {len(self.values)} numbers for {context.num_clients} "
                "clients; give one for each"
            )

    def build(self, context: Context) -> Draw:
        """The draw."""
        return listed(self.values)


class CsvConfig(ConditionConfig):
    """A column of a table with a row for each client; `KEY = "clients.csv"` reads column `KEY`."""

    kind: Literal["csv"] = "csv"
    file: FileBeside
    """A CSV file beside the experiment whose first row names the columns; its column `client`, if
    there is one, says whose a row is, from 0; else rows are in the order of the clients."""
    column: Annotated[str, Field(min_length=1)]
    """The column to read."""
    _folder: Path = PrivateAttr(default=Path())
    _text: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _read(self, info: Info) -> "CsvConfig":
        self._folder = Path((info.context or {}).get("folder", ""))
        self._text = read_beside(self._folder / self.file, "conditions", "a table of clients")
        return self

    def files(self) -> Mapping[str, Path]:
        """The table."""
        return {self.file: self._folder / self.file}

    def build(self, context: Context) -> Draw:
        """The draw."""
        return listed(tuple(self._rows(context.num_clients)))

    def _rows(self, num_clients: int) -> list[float]:
        rows = list(csv.DictReader(StringIO(self._text.lstrip("\ufeff")), skipinitialspace=True))
        found: dict[int, float] = {}
        for number, row in enumerate(rows):
            client = int(self._number(row, number, "client")) if "client" in row else number
            if client in found or not 0 <= client < num_clients:
                raise ConfigError(
                    f"{self.file}, row {number + 1}: client {client} is there twice or is none of "
                    f"the {num_clients} clients; give each of 0 to {num_clients - 1} one row"
                )
            found[client] = self._number(row, number, self.column)
        missing = sorted(set(range(num_clients)) - set(found))
        if missing:
            raise ConfigError(
                f"{self.file} has no row for {len(missing)} of {num_clients} clients, the first is "
                f"client {missing[0]}; give each one row"
            )
        return [found[client] for client in range(num_clients)]

    def _number(self, row: Mapping[str, Any], number: int, column: str) -> float:
        if column not in row:
            raise ConfigError(f"{self.file} has no column `{column}`, but {', '.join(row)}")
        try:
            return float(row[column])
        except (TypeError, ValueError):
            raise ConfigError(
                f"{self.file}, row {number + 1}: `{column}` should be a number, got {row[column]!r}"
            ) from None


class RandomConfig(ConditionConfig):
    """Keys of distributions."""

    every_round: bool = False
    """Draw a client's number anew in every round, instead of once."""


class UniformConfig(RandomConfig):
    """Uniform between two numbers."""

    kind: Literal["uniform"] = "uniform"
    low: Finite
    """The least."""
    high: Finite
    """The largest."""

    def build(self, context: Context) -> Draw:
        """The draw."""
        return uniform(self.low, self.high, self.every_round)


class LognormalConfig(RandomConfig):
    """A median times exp(σ z), z normal: a few clients are much slower than most."""

    kind: Literal["lognormal"] = "lognormal"
    median: PositiveFloat
    """Half of the clients have less."""
    sigma: PositiveFloat = 0.5
    """σ, the spread of the logarithm."""

    def build(self, context: Context) -> Draw:
        """The draw."""
        return lognormal(self.median, self.sigma, self.every_round)


class ExponentialConfig(RandomConfig):
    """A least number and an exponential one beyond it."""

    kind: Literal["exponential"] = "exponential"
    mean: PositiveFloat
    """Mean of what is beyond `least`."""
    least: NonNegativeFloat = 0.0
    """The least."""

    def build(self, context: Context) -> Draw:
        """The draw."""
        return exponential(self.mean, self.least, self.every_round)


class PeriodicConfig(ConditionConfig):
    """One number by day and another by night, as of devices that charge and idle."""

    kind: Literal["periodic"] = "periodic"
    period: PositiveInt = 24
    """Rounds of a day and a night."""
    day: Fraction = 0.5
    """The day's part of it."""
    high: Finite = 1.0
    """The number by day."""
    low: Finite = 0.0
    """The number by night."""
    spread: Fraction = 1.0
    """How far apart clients' days begin at most, as a part of the period; 0 for one time zone."""

    def build(self, context: Context) -> Draw:
        """The draw."""
        return periodic(self.period, self.day, self.high, self.low, self.spread)


def _in_short(value: Any, info: Info) -> Any:
    """A number, a list or the name of a file as the table that it is short for."""
    match value:
        case bool():
            return value
        case int() | float():
            return {"kind": "constant", "value": value}
        case list() | tuple():
            return {"kind": "listed", "values": value}
        case str():
            return {"kind": "csv", "file": value, "column": info.field_name}
    return value


Condition = Annotated[
    Section, Kind("condition", base=ConditionConfig, table="conditions"), BeforeValidator(_in_short)
]
"""A key of `[conditions]`."""


class ConditionsConfig(Table):
    """What simulated clients are like; without the table all are there, and no clock is simulated.

    Each key is a number for all clients, a list with one for each, a CSV file with such a column,
    or a table of a distribution.
    """

    availability: Condition | None = None
    """Probability that a client of the cohort is there when the round begins; 1 if absent."""
    dropout: Condition | None = None
    """Probability that a client that is there falls silent in the round; 0 if absent."""
    seconds_per_step: Condition | None = None
    """Seconds that a training step (a batch) takes a client; 0 if absent."""
    upload_mbps: Condition | None = None
    """Mbit/s from a client to the server; infinitely many if absent."""
    download_mbps: Condition | None = None
    """Mbit/s from the server to a client; infinitely many if absent."""
    deadline_s: PositiveFloat | None = None
    """Simulated seconds after which the server goes on without clients that are not done; waits for
    the slowest if absent."""

    def draws(self) -> dict[str, Section]:
        """The keys that are given, but for the deadline."""
        given = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: value for name, value in given if isinstance(value, Section)}

    def caveats(self) -> tuple[str, ...]:
        """What was simulated."""
        given = ", ".join(name.replace("_", " ") for name in self.draws())
        return (
            f"Clients' conditions were simulated ({given}): times are what the rounds would take, "
            "training and messages of the protocol, without latency.",
        )
