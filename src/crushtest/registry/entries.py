"""A registered function with its options, and a registry that a package and plug-ins fill.

An entry's options are the keyword-only parameters of its function. They are listed, checked and converted from that
signature and nothing else.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from crushtest.errors import CrushtestError, UnknownName, UsageError
from crushtest.printing import quoted

if TYPE_CHECKING:
    import pydantic
    from _typeshed import DataclassInstance
    from pydantic_core import ErrorDetails

About = TypeVar("About", bound="DataclassInstance")


@dataclass(frozen=True)
class Entry(Generic[About]):
    """A registered function: its name, what it declares, its options.

    facts   takes the options, and for an engine its model; returns what the function would run with (a classifier's
            revision, a package's version)
    check   takes a recipe's step; raises what the types of its options cannot express, before a weight is loaded
    """

    kind: str
    name: str
    function: Callable[..., Any]
    about: About
    facts: Callable[..., dict[str, Any]] | None = None
    check: Callable[[Any], None] | None = None

    @cached_property
    def options(self) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters, in the order of the signature."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    @cached_property
    def needs(self) -> dict[str, str]:
        """The positional parameters, which the caller must provide, and their annotations as written."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: str(p.annotation) for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY}

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def bind(self, given: Mapping[str, Any], *, where: str = "") -> dict[str, Any]:
        """Return all options with their values: the given ones converted and checked, the others at their defaults.

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
        """Return the entry as JSON values for `crushtest list --json`. Options are JSON schemas with defaults."""
        schema = self._schema.model_json_schema()
        options = {
            name: {key: value for key, value in option.items() if key != "title"}
            for name, option in schema.get("properties", {}).items()
        }
        return {"name": self.name, "summary": self.summary, **asdict(self.about), "options": options}


_OPTION = re.compile(r"(\w+)\s*=\s*(.*)", re.DOTALL)


def explain(error: pydantic.ValidationError, schema: type[pydantic.BaseModel] | None = None) -> str:
    """Return a pydantic ValidationError as one line: every field at fault, what it must be, and what it was.

    schema  describes the field that is missing, if the field has a description
    """
    parts: dict[str, str] = {}
    wrong: dict[str, list[ErrorDetails]] = {}
    details = error.errors()
    for detail in details:
        if detail["type"] == "too_short" and any(_is_within(each["loc"], detail["loc"]) for each in details):
            continue  # the list is short by its wrong entries alone
        place = ".".join(str(part) for part in detail["loc"] if not _ALTERNATIVE.fullmatch(str(part)))
        if detail["type"] == "missing":
            described = schema.model_fields[place].description if schema and place in schema.model_fields else None
            parts[place] = f"{place} is required" + (f" ({described})" if described else "")
        else:
            wrong.setdefault(place, []).append(detail)
            needs = ", or ".join(_joined(_requirement(each) for each in wrong[place]))
            parts[place] = f"{place} {needs} (got {quoted(detail['input'])})".strip()
    return "; ".join(parts.values())


def _is_within(place: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


_ALTERNATIVE = re.compile(r"literal\[.*\]|constrained-(int|float|str)")
"""The part of an error's place that names one of the types that an option may have."""


def _joined(requirements: Iterable[str]) -> Iterator[str]:
    """Yield what a value must be by any of the types that it may have; `must be` once."""
    for number, requirement in enumerate(requirements):
        yield requirement if number == 0 else requirement.removeprefix("must be ")


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "none": "null",
}
"""First word of a pydantic error's type (`int_parsing`, `int_type`) -> what the value must be."""


def _requirement(detail: ErrorDetails) -> str:
    """Return what a value must be, by the error's type and context: pydantic's wording changes between versions."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "greater_than":
            return f"must be above {_bound(context['gt'])}"
        case "greater_than_equal":
            return f"must be at least {_bound(context['ge'])}"
        case "less_than":
            return f"must be below {_bound(context['lt'])}"
        case "less_than_equal":
            return f"must be at most {_bound(context['le'])}"
        case "literal_error":
            return f"must be {context['expected']}"
        case "string_too_short" if context["min_length"] == 1:
            return "must not be empty"
        case "value_error":  # from a validator of ours: `be a power of two`, or a clause with a verb of its own
            reason = str(context["error"])
            return f"must {reason}" if reason.startswith("be ") else reason
        case "multiple_of":
            return f"must be a multiple of {context['multiple_of']}"
        case "too_short":
            return f"must hold at least {context['min_length']} value{'s' if context['min_length'] != 1 else ''}"
        case "string_too_short" | "string_too_long" | "string_pattern_mismatch":
            return detail["msg"]
        case kind if (name := kind.partition("_")[0]) in _TYPES:
            return f"must be {_TYPES[name]}"
        case _:
            return detail["msg"]


def _bound(value: Any) -> Any:
    """Return a bound as it was declared: pydantic turns the 1 of an option of type float into 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def reject_unknown(given: object, schema: type[pydantic.BaseModel], where: str) -> None:
    """Raise UnknownName for a key that a schema lacks, and UsageError if `given` is not a mapping."""
    if not isinstance(given, dict):
        raise UsageError(f"{where}: `key: value` pairs are needed (got {quoted(given)})")
    for key in given:
        if key not in schema.model_fields:
            raise UnknownName("key", key, schema.model_fields, where=where)


class Registry(Generic[About]):
    """Entries by name, filled by importing the modules of one package and installed plug-ins.

    unnamed_first  whether a spec may give the first option without its name: `detoxify:unbiased,label=threat`
    module         the name of the modules that hold entries, so that no others are imported; None: any module may

    A plug-in is an entry point of group `crushtest.<kind>s` that names a module to import.
    """

    def __init__(self, kind: str, package: str, *, unnamed_first: bool = False, module: str | None = None) -> None:
        self.kind = kind
        self.package = package
        self.unnamed_first = unnamed_first
        self.module = module
        self._entries: dict[str, Entry[About]] = {}
        self._discovered = False

    def add(
        self,
        name: str,
        about: About,
        *,
        facts: Callable[..., dict[str, Any]] | None = None,
        check: Callable[[Any], None] | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that registers a function under a name."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._entries and self._entries[name].function.__module__ != function.__module__:
                raise CrushtestError(f"two {self.kind}s are called {name!r}")
            self._entries[name] = Entry(self.kind, name, function, about, facts, check)
            return function

        return register

    def get(self, name: str, *, where: str = "") -> Entry[About]:
        """Return the entry of that name. Raises UnknownName, with the nearest match, for an unregistered one."""
        self._discover()
        if name not in self._entries:
            raise UnknownName(self.kind, name, self._entries, where=where)
        return self._entries[name]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._discover()
        return sorted(self._entries)

    def split(self, spec: str) -> tuple[str, dict[str, str]]:
        """Split `name` or `name:option=value,option=value` into the name and the options as given.

        Raises UnknownName for an unregistered name, UsageError for a piece that is not option=value.
        """
        name, _, rest = spec.partition(":")
        entry = self.get(name)
        unnamed = next(iter(entry.options), None) if self.unnamed_first else None
        options: dict[str, str] = {}
        for place, piece in enumerate(piece.strip() for piece in rest.split(",") if piece.strip()):
            if named := _OPTION.fullmatch(piece):
                if named[1] in options:
                    raise UsageError(f"{self.kind} {quoted(spec)}: {named[1]} is given twice")
                options[named[1]] = named[2]
            elif place == 0 and unnamed is not None:
                options[unnamed] = piece
            else:
                raise UsageError(f"{self.kind} {quoted(spec)}: {quoted(piece)} is not option=value")
        return name, options

    def join(self, name: str, options: Mapping[str, str]) -> str:
        """Return the one spec that `split` parts into this: options in the signature's order, the first unnamed."""
        known = [*self.get(name).options]
        pieces = [f"{option}={options[option]}" for option in sorted(options, key=[*known, *options].index)]
        first = options.get(known[0], "") if known and self.unnamed_first else ""
        if first and not _OPTION.fullmatch(first):
            pieces[0] = first
        return f"{name}:{','.join(pieces)}" if pieces else name

    def __iter__(self) -> Iterator[Entry[About]]:
        return (self._entries[name] for name in self.names())

    def _discover(self) -> None:
        if self._discovered:
            return
        package = importlib.import_module(self.package)
        for module in pkgutil.walk_packages(package.__path__, f"{self.package}."):
            if self.module in (None, module.name.rpartition(".")[2]):
                importlib.import_module(module.name)
        for plugin in entry_points(group=f"crushtest.{self.kind}s"):
            try:
                plugin.load()
            except (ImportError, AttributeError) as error:
                raise CrushtestError(f"plug-in {plugin.name!r} ({plugin.value}) cannot be loaded: {error}") from error
        # Set last, so that a failed import fails again next time instead of leaving a half-filled registry.
        self._discovered = True
