"""A model's broken files are one line that names the file, before anything long runs."""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crushtest.engines.hf.tokenizer import HfTokenizer
from crushtest.engines.template_check import check_template
from crushtest.errors import CrushtestError, EngineError, ModelError
from crushtest.models.find import check_model
from crushtest.models.load import load_model, load_tokenizer, peek_config
from crushtest.pipeline.run import run_study
from crushtest.study.spec import build_spec
from support import tiny_models

FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
SLOW = os.environ.get("CRUSHTEST_SLOW") == "1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    model = tiny_models.loaded(template=True)
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "m"))


def problem_of(folder: Path) -> str:
    """Return the first line in which a folder is refused, or one that is bad; empty if it loads."""
    said = []
    for read in (check_model, peek_config, load_tokenizer, load_model):
        try:
            read(str(folder))
        except CrushtestError as error:
            said.append(str(error))
    return max(said, key=bad, default="")


def bad(line: str) -> bool:
    """Say whether a message is no line, or longer than anybody reads."""
    return not line.isprintable() or len(line) >= 1000


def without_bytes(count: int) -> Callable[[bytes], bytes]:
    return lambda content: content[: len(content) // 2] + content[len(content) // 2 + count :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 3],
    "three bytes gone": without_bytes(3),
    "a list": lambda content: b"[]",
    "brackets": lambda content: b"[" * 200_000,
    "no text": lambda content: b"\xff\xfe",
    "digits": lambda content: b'{"a": ' + b"9" * 5_000 + b"}",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_file_is_named(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    problem = problem_of(folder)
    assert not bad(problem)
    assert name in problem or not problem or damage == "three bytes gone"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("config.json", {"pad_token_id": [1]}),
        ("config.json", {"hidden_size": "many"}),
        ("config.json", {"num_attention_heads": 0}),
        ("config.json", {"architectures": 5}),
        ("config.json", {"dtype": "float7"}),
        ("config.json", {"quantization_config": 5}),
        ("config.json", {"rope_parameters": []}),
        ("config.json", {"auto_map": 5}),
        ("generation_config.json", {"temperature": "hot"}),
        ("generation_config.json", {"eos_token_id": {}}),
        ("tokenizer_config.json", {"tokenizer_class": 5}),
        ("tokenizer_config.json", {"eos_token": 5}),
        ("tokenizer_config.json", {"added_tokens_decoder": []}),
        ("tokenizer.json", {"model": None}),
        ("tokenizer.json", {"added_tokens": [5]}),
    ],
)
def test_a_value_of_another_type_is_one_line_or_does_not_matter(
    folder: Path, name: str, values: dict[str, Any]
) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    assert not bad(problem_of(folder))


@pytest.mark.parametrize("seed", range(300 if SLOW else 12))
def test_damages_at_random_are_one_line_each(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    path = folder / draw.choice(FILES)
    content = bytearray(path.read_bytes())
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(content))
        match draw.randrange(3):
            case 0:
                content[at] = draw.randrange(256)
            case 1:
                del content[at : at + draw.randint(1, 30)]
            case _:
                content[at:at] = draw.choice([b"null", b"-1", b'"x"', b"{}", b"[", b"1e999", b"\x00"])
    path.write_bytes(content)
    assert not bad(problem_of(folder))


def test_a_shard_outside_the_folder_is_refused(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../other/model.safetensors"}}')
    assert "outside its folder" in problem_of(folder)


# ---- chat templates --------------------------------------------------------------------------------

RAISES = "{{ raise_exception('System role not supported') }}"
BAD_TEMPLATES = {
    RAISES: "System role not supported",
    "{{ 'a' * 1000000000 }}": "",
    "{{ 'a' * 1000000000000 }}": "",
    "{{ 'a' * 3000000 }}": "3,000,000 characters",
    "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}": "did not end",
    "{{ messages[7].content }}": "does not render",
    "{{ messages[0].content": "does not render",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}": "does not render",
    "{% include '/etc/passwd' %}": "does not render",
}


@pytest.mark.parametrize(("template", "words"), BAD_TEMPLATES.items())
def test_a_template_that_raises_or_explodes_is_one_line_and_soon(template: str, words: str) -> None:
    tokenizer = copy.deepcopy(tiny_models.tokenizer(template=True))
    tokenizer.chat_template = template
    enough_s = 0.3 if words == "did not end" else 60.0
    began = time.process_time()
    with pytest.raises(EngineError) as caught:
        check_template(HfTokenizer(tokenizer), "model 'x'", seconds=enough_s)
    assert time.process_time() - began < 10
    assert words in str(caught.value)
    assert str(caught.value).startswith("model 'x': ")


def test_a_template_that_renders_leaves_this_process_unbounded() -> None:
    """The bounds are those of a fork, which has ended."""
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_CPU)
    before = [resource.getrlimit(kind) for kind in kinds]
    check_template(HfTokenizer(tiny_models.tokenizer(template=True)), "model 'x'")
    assert [resource.getrlimit(kind) for kind in kinds] == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_study_in_chat_learns_of_a_broken_template_before_it_begins(folder: Path, tmp_path: Path) -> None:
    tokenizer = copy.deepcopy(tiny_models.tokenizer(template=True))
    tokenizer.chat_template = RAISES
    tokenizer.save_pretrained(folder)
    (tmp_path / "p.jsonl").write_text('{"prompt": "Hello"}\n')
    task = {"path": str(tmp_path / "p.jsonl"), "scorers": ["profanity"]}

    def spec(chat: bool) -> Any:
        return build_spec(
            {"model": "fake", "engine": "fake", "arms": [{"model": str(folder), "engine": "hf"}],
             "suite": [{"custom_prompts": {**task, "chat": chat}}]}, where="test",
        )  # fmt: skip

    with pytest.raises(EngineError, match="System role not supported"):
        run_study(spec(True), tmp_path / "s")
    assert not (tmp_path / "s" / "arms").exists()


def test_a_study_learns_of_a_broken_tokenizer_before_it_begins(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    spec = build_spec(
        {
            "model": "fake",
            "engine": "fake",
            "arms": [{"model": str(folder), "engine": "hf"}],
            "suite": "probe_facts,probe_qa",
        },
        where="test",
    )
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        run_study(spec, tmp_path / "s")
    assert not (tmp_path / "s" / "arms").exists()
