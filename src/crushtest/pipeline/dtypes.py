"""In which dtype a study runs that names none, or the checkpoint's own: settled once, before anything is planned."""

from __future__ import annotations

from collections.abc import Callable

from crushtest.models.copies import is_gguf
from crushtest.models.devices import default_device
from crushtest.models.dtypes import AUTO, QUANTIZED, computes_in_bfloat16, config_dtype, gguf_dtype
from crushtest.models.load import find_checkpoint, peek_config
from crushtest.models.places import read_places
from crushtest.registry import ENGINES
from crushtest.study.folder import StudyFolder
from crushtest.study.plan import Plan
from crushtest.study.spec import StudySpec, read_stored_spec

FLOAT32 = "float32"


def settle_dtype(
    spec: StudySpec, folder: StudyFolder | None = None, *, runs_on_cpu: Callable[[str], bool] | None = None
) -> StudySpec:
    """Return the study with the dtype that it runs in, and in which repeats of a 16-bit study on a CPU run.

    A study that names no dtype keeps that of its folder. A new one gets the dense checkpoint's own on an accelerator,
    and float32 on a CPU. `auto` becomes the dense checkpoint's own, for every arm alike: a study does not mix dtypes.
    Repeats that are new get float32 where a study runs in 16 bits on a CPU without having named that dtype.

    runs_on_cpu  says if a device is a CPU, where models run on other machines than this one

    Raises ModelError for a dense model whose own dtype is asked for and that is not there.
    """
    stored = None
    if folder is not None and folder.specification.exists() and folder.has_measured():
        stored = read_stored_spec(folder.specification)
    asked = spec.dtype if "dtype" in spec.model_fields_set else None
    if asked not in (None, AUTO):
        return spec
    if asked is None and stored is not None:
        spec = spec.model_copy(update={"dtype": stored.dtype})
    if not runs_here(spec):
        return spec
    on_cpu = (runs_on_cpu or is_on_cpu)(spec.device)
    if spec.dtype == AUTO or (stored is None and not on_cpu):
        spec = spec.model_copy(update={"dtype": own_dtype(spec.model)})
    repeats = spec.noise_floor.repeats and not (stored and stored.noise_floor.repeats)
    if on_cpu and spec.dtype != FLOAT32 and repeats and "vary" not in spec.noise_floor.model_fields_set:
        floor = spec.noise_floor.model_copy(update={"vary": (f"dtype={FLOAT32}",)})
        spec = spec.model_copy(update={"noise_floor": floor})
    return spec


def runs_here(spec: StudySpec) -> bool:
    """Return True if an engine of the study loads models in this process, in the study's dtype."""
    named = {spec.engine, *(arm.engine for arm in spec.arms if arm.engine)}
    return any(ENGINES.get(text.partition(":")[0]).about.in_process for text in named)


def is_on_cpu(device: str) -> bool:
    """Return True if a device's text means that models are run on the CPU. Raises UsageError as `read_places` does."""
    places = read_places(device)
    return all(place.name in ("cpu", "disk") for place in places) if places else default_device() == "cpu"


def own_dtype(model: str) -> str:
    """Return the dtype that a checkpoint names for its weights; float32 if it names none. No weight is read.

    Raises ModelError for a model that is not there.
    """
    if model == "demo":
        return QUANTIZED
    if is_gguf(model):
        header = find_checkpoint(model, trust_remote_code=False, allow_pickle=False).header
        return FLOAT32 if header is None else gguf_dtype(header)
    config = peek_config(model)
    return (None if config is None else config_dtype(config)) or FLOAT32


OFFER = (
    "this processor computes in bfloat16, the model's own dtype: --dtype auto takes it. On the demo it was 1.5 to 1.7 "
    "times as fast as float32, moved log-likelihoods of options by 0.08 nats and 1 answer of 120 (docs/scale.md)"
)


def bfloat16_offer(folder: StudyFolder, spec: StudySpec, plan: Plan) -> str:
    """Return a line that offers bfloat16 to a study that begins in float32 without having asked for it.

    The empty text where it would not be faster, or not the model's own dtype.
    """
    if "dtype" in spec.model_fields_set or folder.has_measured() or not plan.dense.in_process:
        return ""
    if not (is_on_cpu(spec.device) and computes_in_bfloat16()):
        return ""
    return OFFER if own_dtype(spec.model) == "bfloat16" else ""
