"""Which arms a noise floor repeats, what repeats differ in, and what nobody may ask them to."""

from __future__ import annotations

import pytest

from crushtest.errors import UsageError
from crushtest.pipeline.ask import reordered
from crushtest.records import Item, Prompt
from crushtest.report.page.noise import keeping_dtype, repeat_facts
from crushtest.study.arms import Arm
from crushtest.study.plan import make_plan
from crushtest.study.repeats import repacked
from crushtest.study.spec import build_spec


def repeats(**settings: object) -> tuple[Arm, ...]:
    return make_plan(build_spec({"model": "demo", **settings}, where="test")).repeats


def test_there_are_none_unless_asked_for() -> None:
    assert repeats() == ()


def test_every_repeat_has_smaller_packs_and_batches_than_the_one_before() -> None:
    found = repeats(noise_floor=4)
    assert [(arm.name, arm.repeat, arm.title) for arm in found[:2]] == [
        ("dense", 1, "dense, repeat 1"),
        ("dense", 2, "dense, repeat 2"),
    ]
    assert [arm.engine_options["pack_tokens"] for arm in found] == [512, 448, 398, 358]
    assert [arm.engine_options["batch_size"] for arm in found] == [16, 14, 12, 11]
    assert {arm.engine_options["dtype"] for arm in found} == {"float32"}


FILE, QUANTIZED = "other.gguf", "llamacpp:kv=q8_0,flash=on"
ARMS = [
    "magnitude:sparsity=0.5",
    {"name": "bf16", "model": "demo", "engine": "hf:dtype=bfloat16"},
    {"name": "as found", "model": FILE},
    {"name": "tuned", "model": "tuned", "recipe": "magnitude:sparsity=0.5"},
    {"name": "llama.cpp", "model": "demo", "engine": "llamacpp"},
    {"name": "kv", "model": FILE, "engine": QUANTIZED, "against": "llama.cpp"},
]


@pytest.mark.parametrize(
    ("chosen", "repeated"),
    [
        (None, ["dense", "bf16", "as found", "llama.cpp", "kv"]),
        ("auto", ["dense", "bf16", "as found", "llama.cpp", "kv"]),
        ("dense", ["dense"]),
        ("kv", ["dense", "kv"]),
        (["auto", "tuned"], ["dense", "bf16", "as found", "tuned", "llama.cpp", "kv"]),
        ("all", ["dense", "magnitude:sparsity=0.5", "bf16", "as found", "tuned", "llama.cpp", "kv"]),
    ],
)
def test_dense_and_the_arms_with_a_noise_of_their_own_are_repeated(chosen: object, repeated: list[str]) -> None:
    floor = {"repeats": 2} | ({} if chosen is None else {"arms": chosen})
    found = repeats(arms=ARMS, noise_floor=floor)
    assert [(arm.name, arm.repeat) for arm in found] == [(name, number) for name in repeated for number in (1, 2)]


def test_an_arm_varies_what_its_engine_can_and_stays_the_arm_it_is() -> None:
    vary = ["dtype=float16", "threads=1", "engine=hf:pack_tokens=100"]
    found = {arm.name: arm for arm in repeats(arms=ARMS, noise_floor={"repeats": 1, "vary": vary, "arms": "all"})}
    assert found["dense"].engine_options["pack_tokens"] == found["as found"].engine_options["pack_tokens"] == 25
    kv = found["kv"]
    assert (kv.engine, kv.engine_options["kv"], kv.engine_options["pack_tokens"]) == ("llamacpp", "q8_0", 128)
    assert (kv.engine_options["threads"], kv.threads) == (1, None)
    assert (found["bf16"].model_options.dtype, found["bf16"].threads) == ("float16", 1)
    assert found["bf16"].engine_options["pack_tokens"] == 512
    assert [arm.against for arm in found.values()][-1] == ("dense", "llama.cpp")


def test_arms_that_keep_their_dtype_are_named_where_dense_varies_it() -> None:
    def keeping(vary: list[str]) -> set[str]:
        floor = {"repeats": 1, "vary": vary, "arms": "all"}
        return keeping_dtype(make_plan(build_spec({"model": "demo", "arms": ARMS, "noise_floor": floor}, where="test")))

    assert keeping(["dtype=bfloat16"]) == {"bf16", "llama.cpp", "kv"}
    assert keeping(["dtype=float16"]) == {"llama.cpp", "kv"}
    assert keeping(["threads=1"]) == set()
    content = {"repeats": {"bf16": {"1": {"engine": {"engine": "hf", "dtype": "bfloat16"}}}}}
    ((_, text),) = repeat_facts(content, {"bf16"})
    assert text.endswith("dtype not varied")


def test_what_is_run_at_once_is_never_nothing() -> None:
    assert repacked({"batch_size": 1, "seed": 7}, 9) == {"batch_size": 1, "seed": 7}


def test_each_repeat_has_its_own_order_of_items_which_never_changes() -> None:
    items = [Item(str(number), (), "c", Prompt("p")) for number in range(50)]
    orders = [list(reordered(items, number)) for number in range(3)]
    assert orders[0] == items
    assert all(sorted(order, key=items.index) == items for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders[1] == list(reordered(items, 1))


def test_every_repeat_varies_what_the_noise_floor_names() -> None:
    found = repeats(noise_floor={"repeats": 2, "vary": ["dtype=bfloat16", "threads=1"]})
    assert [(arm.model_options.dtype, arm.threads) for arm in found] == [("bfloat16", 1)] * 2
    (other,) = repeats(noise_floor={"repeats": 1, "vary": ["engine=hf:pack_tokens=100,batch_size=8"]})
    assert (other.engine_options["pack_tokens"], other.engine_options["batch_size"]) == (25, 2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"noise_floor": -1}, "noise_floor.repeats must be at least 0"),
        ({"noise_floor": {"vary": ["threads=1"]}}, "noise_floor must be at least 1"),
        ({"noise_floor": {"arms": "all"}}, "noise_floor must be at least 1"),
        ({"noise_floor": {"repeats": 1, "arms": ["al"]}}, "did you mean 'all'"),
        ({"engine": "llamacpp", "noise_floor": {"repeats": 1, "vary": ["dtype=float16"]}}, "cannot vary dtype"),
        ({"noise_floor": {"repeats": 1, "vary": ["thread=1"]}}, "'thread'; did you mean 'threads'"),
        ({"noise_floor": {"repeats": 1, "vary": ["dtype"]}}, "must say with what"),
        ({"noise_floor": {"repeats": 1, "vary": ["dtype=bfloat"]}}, "did you mean 'bfloat16'"),
        ({"noise_floor": {"repeats": 1, "vary": ["dtype=float32"]}}, "is what the study runs in"),
        ({"noise_floor": {"repeats": 1, "vary": ["threads=0"]}}, "whole number of at least 1"),
        ({"noise_floor": {"repeats": 1, "vary": ["threads=1", "threads=2"]}}, "threads is given twice"),
        ({"noise_floor": {"repeats": 1, "vary": ["engine=fakr"]}}, "did you mean 'fake'"),
        ({"noise_floor": {"repeats": 1, "vary": ["engine=fake", "dtype=float16"]}}, "'fake' cannot vary dtype"),
        ({"noise_floor": {"repeats": 1, "vary": ["engine=hf:dtype=float16"]}}, "give the dtype by itself"),
        ({"engine": "fake", "noise_floor": {"repeats": 1, "vary": ["threads=1"]}}, "'fake' cannot vary threads"),
    ],
)
def test_what_cannot_be_varied_is_one_line_that_says_why(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as error:
        repeats(**settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bare_noise_floor_is_its_number_of_repeats() -> None:
    short, full = (build_spec({"model": "demo", "noise_floor": floor}, where="test") for floor in (3, {"repeats": 3}))
    assert short == full
    assert short.noise_floor.repeats == 3


def test_the_old_key_of_the_variation_names_the_new_one() -> None:
    with pytest.raises(UsageError, match=r"noise_floor: \{repeats: K, vary: \[...\]\}"):
        build_spec({"model": "demo", "noise_floor": 1, "noise_vary": []}, where="test")


def test_an_unknown_key_of_the_noise_floor_has_a_nearest_match() -> None:
    with pytest.raises(UsageError, match="did you mean 'repeats'"):
        build_spec({"model": "demo", "noise_floor": {"repeat": 1}}, where="test")
