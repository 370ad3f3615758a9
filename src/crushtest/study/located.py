"""Where an arm's harm sits: what `crushtest locate` measured of a study's arm, and whether a repair helped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from crushtest.files.atomic import file_name, write_json
from crushtest.files.regular import read_bytes
from crushtest.study.folder import StudyFolder


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Share(_Stored):
    """A share of the arm's divergence, with its 95% interval; None for fewer than two clusters."""

    value: float
    low: float | None
    high: float | None


class LocatedPart(_Stored):
    """What vanishes of the arm's divergence when one block goes back to dense: by dimension, and their mean."""

    name: str
    shares: dict[str, Share]
    mean: Share


class Variant(_Stored):
    """A recipe measured on the half that chose nothing.

    divergence  dimension -> its divergence from dense, as a share of the arm's
    ahead       by how much of the arm's divergence the repair is nearer to dense than this; None for arm and repair
    """

    name: str
    recipe: str
    bits_per_weight: float
    divergence: dict[str, float]
    ahead: Share | None = None


class LocateRecord(_Stored):
    """locate.json.

    parts     every block, the one that carries most first
    variants  the arm, the repair, and what it is compared with; empty where no repair can be tried
    helps     whether the repair is nearer to dense than everything it was compared with, by intervals
    why       why no repair was tried; empty if one was
    """

    arm: str
    recipe: str
    items: dict[str, int]
    parts: tuple[LocatedPart, ...]
    variants: tuple[Variant, ...] = ()
    repair: str | None = None
    helps: bool = False
    why: str = ""


@dataclass(frozen=True)
class LocateFolder:
    """The files of one arm's location, in its study."""

    study: StudyFolder
    arm: str

    @property
    def root(self) -> Path:
        return self.study.root / "locate" / file_name(self.arm)

    @property
    def page(self) -> Path:
        return self.root / "locate.html"

    def write(self, record: LocateRecord) -> None:
        """Write locate.json, whole or not at all."""
        self.root.mkdir(parents=True, exist_ok=True)
        write_json(self.root / "locate.json", record.model_dump(mode="json"))

    def read(self) -> LocateRecord:
        """Return what locate.json says."""
        content = read_bytes(self.root / "locate.json", remedy="locate the arm again")
        return LocateRecord.model_validate_json(content)
