"""One model, loaded to see what it costs: its tokens are counted, its speed and memory measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from crushtest.compress.prepare import load_base
from crushtest.engines.base import close
from crushtest.models.memory import forget_peak_memory, peak_memory_bytes
from crushtest.models.placement import placed_bytes
from crushtest.pipeline.ask import answers_of
from crushtest.pipeline.cost.compressing import measure_compression
from crushtest.pipeline.cost.devices import ACCELERATOR, PROCESS, held_by
from crushtest.pipeline.cost.earlier import peak_bytes, prepared_in_s, spent_per_item
from crushtest.pipeline.cost.records import ArmCost, Spent, TaskCost, Watch, added
from crushtest.pipeline.cost.warm_up import Rate, count, measure
from crushtest.pipeline.fixed_text import score_fixed_text
from crushtest.pipeline.provenance import engine_facts, refuse_another_model
from crushtest.progress import Progress
from crushtest.records import Item, Passage
from crushtest.registry import ENGINES
from crushtest.study.arms import Arm
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan, PlannedTask
from crushtest.study.stops import goes_on

if TYPE_CHECKING:
    from crushtest.compress.calibration import Calibration, CalibrationTokens
    from crushtest.engines.base import Engine
    from crushtest.models.load import LoadedModel

MEASURING = "measuring"


@dataclass
class MeasuredModel:
    """A model in memory, and what was measured of it.

    arms      that run it, which differ in their recipes and in how the engine packs
    loading   loading it and making an engine of it
    rates     by task
    facts     what each arm without a recipe would note of its engine
    fixed     what it gives the fixed text
    """

    folder: StudyFolder
    plan: Plan
    items: Mapping[str, Sequence[Item]]
    calibration: Mapping[tuple[str, Calibration], CalibrationTokens]
    progress: Progress
    arms: Sequence[Arm]
    rates: dict[str, Rate] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    _engines: dict[str, Engine] = field(default_factory=dict)
    _compressed: dict[str, Spent | None] = field(default_factory=dict)
    _model: LoadedModel | None = None
    _loading: Spent = field(default_factory=Spent)
    _memory: dict[str, int] = field(default_factory=dict)

    def costs(self) -> list[ArmCost]:
        """Return what every arm costs. The model is loaded, measured and let go."""
        forget_peak_memory()
        first = self.arms[0]
        try:
            self._load(first)
            counted = [(arm, self._tasks(arm)) for arm in self.arms]
            self._memory = peak_memory_bytes()
            return [self._cost(arm, tasks) for arm, tasks in counted]  # compresses, so after what is asked
        finally:
            for engine in self._engines.values():
                close(engine)
            self._engines, self._model = {}, None

    def _load(self, arm: Arm) -> None:
        from crushtest.engines import load_engine

        if arm.in_process:
            with self.progress.step(
                f"{arm.title} · files of {arm.model}", 1
            ) as advance:  # once, so it is no arm's cost
                arm.model_options.fetch(arm.model)
                advance(1)
        watch = Watch()
        if arm.in_process:
            self._model = load_base(arm.model_options, arm.model, arm.title, self.progress)
            refuse_another_model(self.folder, self._model, arm)
        engine = load_engine(self._model or arm.model, engine=arm.engine, **arm.engine_options)
        self._engines[_key(arm)] = engine
        self.facts = engine_facts(engine)
        if "choices" in ENGINES.get(arm.engine).about.answers:
            self.fixed = score_fixed_text(engine)
        self._loading = watch.spent()

    def _engine(self, arm: Arm) -> Engine:
        """Return the engine of an arm; those of repeats lay their work out in smaller packs."""
        from crushtest.engines import load_engine

        if _key(arm) not in self._engines:
            self._engines[_key(arm)] = load_engine(self._model or arm.model, engine=arm.engine, **arm.engine_options)
        return self._engines[_key(arm)]

    def _tasks(self, arm: Arm) -> tuple[TaskCost, ...]:
        asked = self.plan.asked_of(arm)
        with self.progress.step(f"{arm.title} · {MEASURING}", len(asked)) as advance:
            costs = []
            for planned in asked:
                costs.append(self._task(arm, planned))
                advance(1)
        return tuple(costs)

    def _task(self, arm: Arm, planned: PlannedTask) -> TaskCost:
        items = self.items[planned.name]
        done = answered(self.folder, self.plan, arm, planned, items)
        left = len(items) - len(done)
        if not left:
            return TaskCost(planned.name, 0, read=0, spent=Spent())
        engine = self._engine(arm)
        tokens = count(engine, planned, items, done)
        cost = TaskCost(planned.name, left)
        if tokens is not None:
            cost = replace(cost, read=tokens.read, written=tokens.written, truncated=tokens.truncated)
        if earlier := spent_per_item(self.folder, self.plan, arm, planned.name):
            return replace(cost, spent=earlier.times(left), known_from="earlier run")
        if planned.name not in self.rates:
            self.rates[planned.name] = measure(engine, planned, [item for i, item in enumerate(items) if i not in done])
        rate = self.rates[planned.name]
        twice = 2 if self._against_dense(arm, planned, items) else 1  # dense reads what the arm reads
        expected = rate.length * left if planned.task.kind == "prompts" else None
        return replace(cost, expected=expected, spent=rate.of(tokens, left).times(twice), known_from="warm-up")

    def _against_dense(self, arm: Arm, planned: PlannedTask, items: Sequence[Item]) -> bool:
        whole = planned.task.likeliest is None and arm.name != self.plan.dense.name
        return whole and any(isinstance(item.request, Passage) and item.request.against_dense for item in items)

    def _cost(self, arm: Arm, tasks: tuple[TaskCost, ...]) -> ArmCost:
        preparing, memory = self._preparing(arm), dict(self._memory)
        if arm.recipe is not None:
            memory = {place: max(size, self._memory[place]) for place, size in peak_memory_bytes().items()}
        weights = {} if self._model is None else weights_bytes(self._model)
        place = ACCELERATOR if ACCELERATOR in memory and ACCELERATOR in map(held_by, weights) else PROCESS
        room = max((rate.room for rate in self.rates.values()), default=0)
        memory[place] += self.facts.get("kv_bytes_per_token", 0) * room
        for where, size in peak_bytes(self.folder, self.plan, arm).items():
            memory[where] = max(memory.get(where, 0), size)
        asked, notes = self.plan.asked_of(arm), list[str]()
        if weights and any(self._against_dense(arm, planned, self.items[planned.name]) for planned in asked):
            memory[place] += sum(weights.values())
            notes.append("holds the dense model as well, to compare with")
        if preparing is None:
            notes.append("how long compressing takes is not known")
        return ArmCost(arm.title, arm.engine, tasks, weights, memory, preparing, notes=tuple(notes))

    def _preparing(self, arm: Arm) -> Spent | None:
        earlier = prepared_in_s(self.folder, arm)
        if earlier is not None:
            return Spent(earlier, earlier)
        if arm.recipe is None or self._model is None:
            return self._loading
        parts = [self._loading, self._compressing(arm)]
        return None if None in parts else added(part for part in parts if part is not None)

    def _compressing(self, arm: Arm) -> Spent | None:
        assert arm.recipe is not None
        assert self._model is not None
        if arm.recipe.text not in self._compressed:
            calibration = self.calibration[arm.model, self.plan.calibration_of(arm)]
            with self.progress.step(f"{arm.title} · {MEASURING} compression", 1) as advance:
                self._compressed[arm.recipe.text] = measure_compression(self._model, arm.recipe, calibration)
                advance(1)
        return self._compressed[arm.recipe.text]


def answered(folder: StudyFolder, plan: Plan, arm: Arm, planned: PlannedTask, items: Sequence[Item]) -> frozenset[int]:
    """Return the indexes of the items that an arm has answered, or of all if it stopped before the last."""
    log, grown = answers_of(folder, arm, planned), planned.name in plan.grown
    if log.complete and not grown and not (log.part() and goes_on(plan, arm)):
        return frozenset(range(len(items)))
    ids = log.read(None if grown else [item.id for item in items]).keys()
    return frozenset(index for index, item in enumerate(items) if item.id in ids)


def weights_bytes(model: LoadedModel) -> dict[str, int]:
    """Return what a model's weights take, by device."""
    if spread := placed_bytes(model.network):
        return spread
    sizes: Counter[str] = Counter()
    for weight in model.network.parameters():
        sizes[str(weight.device)] += weight.numel() * weight.element_size()
    return dict(sizes)


def _key(arm: Arm) -> str:
    return repr(sorted(arm.engine_options.items()))
