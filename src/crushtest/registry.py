"""One registry for everything that can be added: methods, tasks, scorers, engines.

An entry is a function. Its keyword-only parameters, with their defaults and annotations, are its options: they are
listed, checked and converted from that signature and from nothing else.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal

from crushtest.errors import CrushtestError, UnknownName, UsageError

if TYPE_CHECKING:
    import pydantic

Dimension = Literal[
    "degeneration harm", "representational harm", "dialect bias", "language modelling", "downstream quality"
]


@dataclass(frozen=True)
class Entry:
    """A registered function: its name, what it is (`about`: source, licence, dimension, ...), its options.

    facts   given the options: what it would run with (a classifier's revision, a package's version), where it can say
    """

    kind: str
    name: str
    function: Callable[..., Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    facts: Callable[..., dict[str, Any]] | None = None

    @cached_property
    def options(self) -> dict[str, inspect.Parameter]:
        """Its keyword-only parameters, in the order of the signature."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @cached_property
    def needs(self) -> dict[str, str]:
        """Its positional parameters and their annotations as written: what its caller must provide."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: str(p.annotation) for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY}

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def bind(self, given: Mapping[str, Any], *, where: str = "") -> dict[str, Any]:
        """All options with their values: those given, converted and checked, and the defaults of the others.

        Raises UsageError for an unknown option (with the nearest match) and for a value of the wrong type or out
        of its range.
        """
        import pydantic

        where = where or f"{self.kind} {self.name!r}"
        for option in given:
            if option not in self.options:
                raise UnknownName("option", option, self.options, where=where)
        try:
            return dict(self._schema(**given))
        except pydantic.ValidationError as error:
            raise UsageError(f"{where}: {explain(error, self._schema)}") from None

    @cached_property
    def _schema(self) -> type[pydantic.BaseModel]:
        import pydantic

        annotations = inspect.get_annotations(self.function)
        scope = inspect.unwrap(self.function).__globals__
        fields: dict[str, Any] = {
            name: (
                eval(annotations[name], scope) if isinstance(annotations[name], str) else annotations[name],
                pydantic.Field(default=parameter.default, validate_default=True)
                if parameter.default is not inspect.Parameter.empty
                else ...,
            )
            for name, parameter in self.options.items()
        }
        config = pydantic.ConfigDict(extra="forbid", protected_namespaces=(), arbitrary_types_allowed=True)
        schema: type[pydantic.BaseModel] = pydantic.create_model(f"{self.name}_options", __config__=config, **fields)
        return schema

    def describe(self) -> dict[str, Any]:
        """The entry as JSON values, for `crushtest list --json`; each option as its JSON schema, default included."""
        schema = self._schema.model_json_schema()
        options = {
            name: {key: value for key, value in option.items() if key != "title"}
            for name, option in schema.get("properties", {}).items()
        }
        return {"name": self.name, "summary": self.summary, **self.about, "options": options}


_OPTION = re.compile(r"(\w+)\s*=\s*(.*)", re.DOTALL)


def explain(error: Any, schema: type[pydantic.BaseModel] | None = None) -> str:
    """A pydantic ValidationError as one line: every field at fault, what it must be, what it was.

    schema  says what a missing field is, where the field has a description
    """
    parts = []
    for detail in error.errors():
        place = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "missing":
            about = schema.model_fields[place].description if schema and place in schema.model_fields else None
            parts.append(f"{place} is required" + (f" ({about})" if about else ""))
            continue
        message = detail["msg"].removeprefix("Input should ").removeprefix("Value error, ")
        message = message.replace("be less than ", "be below ").replace("be greater than or equal to ", "be at least ")
        message = message.replace("String should have at least 1 character", "must not be empty")
        verb = "must " if message.startswith("be ") else ""
        parts.append(f"{place} {verb}{message} (got {detail['input']!r})".strip())
    return "; ".join(parts)


def reject_unknown(given: object, schema: type[pydantic.BaseModel], where: str) -> None:
    """Raise UnknownName, with the nearest match, for a key that a schema lacks; UsageError for no mapping at all."""
    if not isinstance(given, dict):
        raise UsageError(f"{where}: `key: value` pairs are needed (got {given!r})")
    for key in given:
        if key not in schema.model_fields:
            raise UnknownName("key", key, schema.model_fields, where=where)


class Registry:
    """Name -> Entry. Filled by importing the modules of one package, and by installed plug-ins.

    A plug-in is an entry point of group `crushtest.<kind>s` that names a module to import.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, Entry] = {}
        self._discovered = False

    def add(
        self, name: str, *, facts: Callable[..., dict[str, Any]] | None = None, **about: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: register a function under a name."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._entries and self._entries[name].function.__module__ != function.__module__:
                raise CrushtestError(f"two {self.kind}s are called {name!r}")
            self._entries[name] = Entry(self.kind, name, function, about, facts)
            return function

        return register

    def get(self, name: str, *, where: str = "") -> Entry:
        """The entry of that name; UnknownName, with the nearest match, if there is none."""
        self._discover()
        if name not in self._entries:
            raise UnknownName(self.kind, name, self._entries, where=where)
        return self._entries[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        self._discover()
        return sorted(self._entries)

    def split(self, spec: str, *, unnamed: str | None = None) -> tuple[str, dict[str, str]]:
        """The name and the options, as given, of `name` or `name:option=value,option=value`.

        unnamed  the option whose value a first piece without its name is; None where every option must be named

        Raises UnknownName for a name that is not here, UsageError for a piece that is not option=value.
        """
        name, _, rest = spec.partition(":")
        self.get(name)
        options: dict[str, str] = {}
        for place, piece in enumerate(piece.strip() for piece in rest.split(",") if piece.strip()):
            if named := _OPTION.fullmatch(piece):
                options[named[1]] = named[2]
            elif place == 0 and unnamed is not None:
                options[unnamed] = piece
            else:
                raise UsageError(f"{self.kind} {spec!r}: {piece!r} is not option=value")
        return name, options

    def __iter__(self) -> Iterator[Entry]:
        return (self._entries[name] for name in self.names())

    def _discover(self) -> None:
        if self._discovered:
            return
        package = importlib.import_module(self.package)
        for module in pkgutil.walk_packages(package.__path__, f"{self.package}."):
            importlib.import_module(module.name)
        for plugin in entry_points(group=f"crushtest.{self.kind}s"):
            try:
                plugin.load()
            except (ImportError, AttributeError) as error:
                raise CrushtestError(f"plug-in {plugin.name!r} ({plugin.value}) cannot be loaded: {error}") from error
        # Last: where an import fails, the next call must fail too, and not find a registry that is half empty.
        self._discovered = True


METHODS = Registry("method", "crushtest.compress")
TASKS = Registry("task", "crushtest.tasks")
SCORERS = Registry("scorer", "crushtest.scorers")
ENGINES = Registry("engine", "crushtest.engines")


def method(
    name: str, *, source: str, kind: Literal["pruning", "quantization"]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a compression method: a function of one weight and the statistics its annotations name."""
    return METHODS.add(name, source=source, kind=kind, scope="layer")


def model_method(
    name: str, *, source: str, kind: Literal["pruning", "quantization"], calibrates: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a compression method that reaches across layers: a function of the model and calibration batches.

    calibrates   False if the weights it makes do not depend on the batches
    """
    return METHODS.add(name, source=source, kind=kind, scope="model", calibrates=calibrates)


def calibrates(name: str) -> bool:
    """Return whether the weights that a compression method makes depend on the calibration text."""
    found = METHODS.get(name)
    return bool(found.about.get("calibrates", len(found.needs) > 1))


def task(
    name: str, *, dimension: Dimension, source: str, licence: str, calibration: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a task: a function of its options that returns a `Task`.

    calibration   the calibration source that its texts come from too, in other parts
    """
    return TASKS.add(name, dimension=dimension, source=source, licence=licence, calibration=calibration)


def scorer(
    name: str,
    *,
    source: str,
    measures: str,
    better: Literal["lower", "higher", "neither"] = "lower",
    threshold: float | None = 0.5,
    labels: Mapping[str, tuple[str, str]] | None = None,
    facts: Callable[..., dict[str, Any]] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a scorer: a function of a batch of `Exchange`s that returns a `Score` each, in order.

    better      the direction of its number that is good
    threshold   from which number on a completion counts as what is measured; None where counting makes no sense
    labels      of its `mean` and its `rate` over completions: the name for readers, and a sentence on what it means
    facts       given the scorer's options: what scores (model, revision, version), for the manifest. It raises what
                the scorer would raise for want of a model or a key, so it is asked before a model has written a word
    """
    about: dict[str, Any] = {"source": source, "measures": measures, "better": better, "threshold": threshold}
    about |= {"labels": labels} if labels else {}
    return SCORERS.add(name, facts=facts, **about)


def engine(name: str, *, runs: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register an engine: a function of a model spec that returns an `Engine`."""
    return ENGINES.add(name, runs=runs)
