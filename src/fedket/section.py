"""What a kind is made of: the section of its keys, and how a configuration finds it.

Users import `Section` and `Context` from `fedket`; `Kind` and `FunctionOf` annotate fields of the
configuration that hold a section, or name a function.
"""

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from fedket.errors import ConfigError, UserCodeError
from fedket.kinds import BUILT_IN, find, kinds_of
from fedket.schema import Table, explain, show_value

if TYPE_CHECKING:  # JAX is imported when something is built, not when names are listed
    import numpy as np

    from fedket.quantum.noise import NoiseModel
    from fedket.quantum.shots import Shots
    from fedket.types import Dataset

Info = Any
"""pydantic's `ValidationInfo` or `SerializationInfo`, which cannot be checked at run time."""


class Context(NamedTuple):
    """What is known when a kind is built; each step of an experiment adds what it made.

    Attributes:
        seed: Seed of the experiment.
        num_clients: Clients of the federation.
        cohort_size: Clients of a round.
        dtype: What is computed in, `float32` or `float64`.
        rng: For work done once on the host, such as dealing out samples.
        dataset: The samples, or how to get them for a kind that asks; at a deployed site or server
            only their shape and number of classes.
        batch_size: Samples of a training step, at most.
        max_steps: Local steps of the largest client in a round; 0 if only clients know.
        loss: (logits, labels) -> loss of each sample.
        noise: Noise model that the circuit runs under; None for none.
        shots: Finite shots of the circuit; None for infinitely many.
        params: Shapes and types of the model's parameters.
        name: Name of the experiment.
        server_links: Whether clients share key with the server.
        links: Pairs of clients that share key, the smaller first; None for all.
        rounds_each: Rounds of the run that one client takes part in, at most.
        rounds: Rounds of the run.
    """

    seed: int
    num_clients: int
    cohort_size: int
    dtype: str
    rng: "np.random.Generator"
    dataset: "Dataset | Callable[[], Dataset] | None" = None
    batch_size: int = 0
    max_steps: int = 0
    loss: Callable[..., Any] | None = None
    noise: "NoiseModel | None" = None
    shots: "Shots | None" = None
    params: Any = None
    name: str = ""
    server_links: bool = False
    links: "frozenset[tuple[int, int]] | None" = None
    rounds_each: int = 0
    rounds: int = 0

    @property
    def samples(self) -> "Dataset":
        """The data set; `ConfigError` for data sets and transforms, built before there is one."""
        if self.dataset is None:
            raise ConfigError("there are no samples yet: a data set cannot ask for them")
        return self.dataset() if callable(self.dataset) else self.dataset

    @property
    def num_features(self) -> int:
        """Features of a sample after flattening."""
        return prod(self.samples.x_train.shape[1:])

    @property
    def num_classes(self) -> int:
        """Classes of the data."""
        return self.samples.num_classes


class Section(Table):
    """The keys of one kind, and what becomes of them.

    Subclasses add fields and `build`; the rest is there for those who need it.
    """

    kind: str = ""
    """Which kind this is."""

    def build(self, context: Context) -> Any:
        """Make the thing.

        Args:
            context: What is known so far, see `Context`.
        """
        raise UserCodeError(
            f"{type(self).__name__} has no `build(self, context)`; define one that returns the "
            "thing it describes"
        )

    def check(self, context: Context) -> None:
        """Raise `ConfigError`, one line, if this does not fit; before anything compiles."""

    def caveats(self) -> tuple[str, ...]:
        """What a reader of the results must know, a sentence each, for the report."""
        return ()

    def files(self) -> Mapping[str, Path]:
        """Files beside the experiment that this reads: as written -> where each lies."""
        return {}


class Kind:
    """Annotation of a field that holds a section of a group: `Annotated[Section, Kind("g")]`.

    Args:
        group: The group.
        default: The kind of a table that names none; empty if it must.
        base: What all of the group inherit from.
        many: Whether the field holds a tuple of sections, `[[TABLE]]` in TOML.
        table: The table that the field is in, if it is no table of the experiment itself.
    """

    def __init__(
        self,
        group: str,
        default: str = "",
        base: type[Section] = Section,
        many: bool = False,
        table: str = "",
    ) -> None:
        self.group, self.default, self.base, self.many = group, default, base, many
        self.table = table

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Validate by the class that `kind` names; dump as that class does."""
        dump = core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True)
        return core_schema.with_info_plain_validator_function(self._validate, serialization=dump)

    def _validate(self, value: Any, info: Info) -> Section | tuple[Section, ...]:
        field = ".".join(filter(None, (self.table, info.field_name or self.group)))
        if not self.many:
            return self._one(value, info, field)
        if not isinstance(value, list | tuple):
            raise ConfigError(f"`{field}` should be a list of tables, got {show_value(value)}")
        return tuple(self._one(v, info, f"{field}.{i}") for i, v in enumerate(value))

    def _one(self, value: Any, info: Info, field: str) -> Section:
        if isinstance(value, Section):
            return value
        if not isinstance(value, dict):
            raise ConfigError(f"`{field}` should be a table, got {show_value(value)}")
        name = value.get("kind", self.default)
        if not name or not isinstance(name, str):
            names = ", ".join(map(repr, kinds_of(self.group)))
            raise ConfigError(f"`{field}.kind` is missing; it should be one of {names}")
        section = find_section(self.group, name, _folder_of(info))
        if not issubclass(section, self.base):
            raise ConfigError(
                f"{self.group} kind `{name}` should be a subclass of `fedket.{self.base.__name__}`"
            )
        return _parse(section, value | {"kind": name}, info, field, self.group)


def kind_field(group: str, default: str) -> Any:
    """The default of a field of a group: the section of that kind without any key."""
    return Field(default_factory=lambda: find_section(group, default, Path())())


class NamedFunction(NamedTuple):
    """A function that a configuration names; equal to another of the same name.

    Attributes:
        name: As written.
        function: What it stands for; a circuit of another package may be no function.
        file: The file that it is in, if that is a user's own.
    """

    name: str
    function: Any
    file: Path | None = None


class FunctionOf:
    """Annotation of a field that names a function of a group, dumped as its name."""

    def __init__(self, group: str) -> None:
        self.group = group

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Find the function."""
        dump = core_schema.plain_serializer_function_ser_schema(lambda named: named.name)
        return core_schema.with_info_plain_validator_function(self._validate, serialization=dump)

    def _validate(self, value: Any, info: Info) -> NamedFunction:
        if isinstance(value, NamedFunction):
            return value
        if not isinstance(value, str):
            raise ValueError(f"the value should be the name of a {self.group}")
        return named_function(self.group, value, _folder_of(info))


def named_function(group: str, name: str, folder: Path = Path()) -> NamedFunction:
    """The function of that name in a group; see `fedket.kinds.find`."""
    file = folder / name.partition(":")[0] if ".py:" in name else None
    return NamedFunction(name, find(group, name, folder), file)


def find_section(group: str, name: str, folder: Path) -> type[Section]:
    """The section class of that name.

    Raises:
        ConfigError: There is none, or it is no `Section`.
        UserCodeError: The user's file fails.
    """
    found = find(group, name, folder)
    if isinstance(found, type) and issubclass(found, Section):
        return found
    raise ConfigError(
        f"{group} kind `{name}` is {show_value(found)}; it should be a subclass of `fedket.Section`"
    )


def user_files(table: Table) -> dict[str, Path]:
    """Files beside an experiment that it names, users' own kinds and what sections read.

    As written -> where each lies.
    """
    files: dict[str, Path] = {}
    for field in type(table).model_fields:
        for value in _each(getattr(table, field)):
            if isinstance(value, NamedFunction) and value.file is not None:
                files[value.name.partition(":")[0]] = value.file
            if isinstance(value, Table):
                files |= user_files(value)
            if isinstance(value, Section):
                files |= value.files()
                if ".py:" in value.kind:
                    files[value.kind.partition(":")[0]] = _file_of(type(value))
    return files


def _parse(
    section: type[Section],
    value: Mapping[str, Any],
    info: Info,
    field: str,
    group: str,
) -> Section:
    try:
        if info.mode == "json":
            return section.model_validate_json(json.dumps(value), context=info.context)
        return section.model_validate(value, context=info.context)
    except ValidationError as error:
        owners = partial(_owners, group, str(value["kind"]))
        raise ConfigError(explain(error, section, field, owners)) from None


def _owners(group: str, kind: str, key: str) -> str:
    """Which built-in kinds of a group have a key, in words."""
    found = [n for n in BUILT_IN[group] if key in find_section(group, n, Path()).model_fields]
    if not found:
        return ""
    return f"it belongs to {group} {' and '.join(f'`{n}`' for n in found)}, this one is `{kind}`"


def _dump(section: Section | tuple[Section, ...], info: Info) -> Any:
    if isinstance(section, tuple):
        return [_dump(one, info) for one in section]
    if not section.kind:
        raise ConfigError(
            f"a {type(section).__name__} made in Python has no name to write down; "
            'name it in TOML as kind = "FILE.py:CLASS"'
        )
    return section.model_dump(mode=info.mode, exclude_none=info.exclude_none)


def _folder_of(info: Info) -> Path:
    return Path((info.context or {}).get("folder", ""))


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) and not isinstance(value, NamedFunction) else (value,)


def _file_of(thing: Any) -> Path:
    return Path(str(sys.modules[thing.__module__].__file__))
