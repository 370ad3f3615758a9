"""What methods, tasks, scorers and engines declare of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from crushtest.registry.dimensions import Dimension

Answers = Literal["choices", "passages", "prompts", "distributions"]


@dataclass(frozen=True, kw_only=True)
class AboutMethod:
    """What a compression method declares.

    scope              `layer`: a function of one weight; `model`: of the model and the calibration batches
    calibrates         whether its weights depend on the batches; None: as its signature says
    stores             `integers` that `save` packs; `floats`, numbers of few bits that `save` writes dequantized; None:
                       weights of the model's own dtype
    needs_package      the package that it imports, not among those of a plain installation
    install            what pip installs that package by; None: by its name
    needs_whole_model  why all weights must be in memory at once; None: a block at a time will do
    replaces_layers    whether other modules take the place of linear layers, so that no later step may touch these
    must_be_last       what to do in place of a later step; None: any step may follow
    no_packed_experts  why it cannot work on experts that lie in one tensor with others; None: it can
    chooses_layers     what says which layers it works on, so that `layers` and `skip` are refused; None: these do
    """

    source: str
    kind: Literal["pruning", "quantization"]
    scope: Literal["layer", "model"]
    calibrates: bool | None = None
    stores: Literal["integers", "floats"] | None = None
    needs_package: str | None = None
    install: str | None = None
    needs_whole_model: str | None = None
    replaces_layers: bool = False
    must_be_last: str | None = None
    no_packed_experts: str | None = None
    chooses_layers: str | None = None


@dataclass(frozen=True, kw_only=True)
class AboutTask:
    """What a task declares.

    calibration  the calibration source that its texts come from too, in other parts
    predictions  the reader of its predictions, `module:function`, loaded when asked for; None: that of all choices
    items        how many items a study without options and limit asks; None: not counted
    """

    dimension: Dimension
    source: str
    licence: str
    calibration: str | None = None
    predictions: str | None = None
    items: int | None = None


@dataclass(frozen=True, kw_only=True)
class AboutScorer:
    """What a scorer declares: see `scorer`."""

    source: str
    measures: str
    better: Literal["lower", "higher", "neither"] = "lower"
    threshold: float | None = 0.5
    needs_dense: Literal["answers", "model"] | None = None
    labels: Mapping[str, tuple[str, str]] | None = None
    patience: tuple[str, ...] = ()
    detects: Literal["refusal", "harm"] | None = None


@dataclass(frozen=True, kw_only=True)
class AboutEngine:
    """What an engine declares.

    answers        the kinds of request that it answers; `distributions`: also passages asked `against_dense`, compared
                   with the dense model that a study gives it
    in_process     whether it runs the model that a study loads, in the study's dtype, on its device and threads; an
                   engine that does not gets the model's name
    has_model      whether there is a model behind its answers, so that it must agree with other engines on a fixed text
    takes_recipes  whether that model may have been compressed by a recipe first
    runs_files     whether it runs a GGUF file as it is, that of `demo` too; others dequantize it
    """

    runs: str
    answers: tuple[Answers, ...]
    in_process: bool = False
    has_model: bool = True
    takes_recipes: bool = False
    runs_files: bool = False
