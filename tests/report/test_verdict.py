"""The verdict quotes intervals, names what is missing, and never says more than the data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crushtest.metrics import Metric
from crushtest.records import DENSE
from crushtest.report import against, answers, arm_verdict, status
from crushtest.report.arm_view import ArmView
from crushtest.report.headlines import as_ratio
from crushtest.report.page import matrix
from crushtest.report.shading import verdict_text
from crushtest.report.study_view import StudyView, judged, read_study
from crushtest.study.folder import StudyFolder
from crushtest.tasks.shared.dialect_metrics import bits_gaps, of_pair
from support.contrast_rows import with_columns


@pytest.fixture
def view(study: StudyFolder) -> StudyView:
    return read_study(study)


def every_text(verdict: arm_verdict.ArmVerdict) -> str:
    findings = (*verdict.worse, *verdict.better, *verdict.unclear, *verdict.groups)
    return " ".join(
        [verdict.status, verdict.size, verdict.sensitivity, verdict.groups_summary, *(f.text for f in findings)]
    )


def test_a_study_of_too_few_items_says_that_nothing_can_be_said(view: StudyView) -> None:
    few = judged(replace(view, contrasts={key: replace(row, clusters=6) for key, row in view.contrasts.items()}))
    verdicts = arm_verdict.verdicts(few)
    assert {verdict.tone for verdict in verdicts} == {"undefined"}
    assert all(verdict.status.startswith("inconclusive") for verdict in verdicts)
    assert status.lead(few, verdicts).startswith("The study is inconclusive for all variants")


def test_every_finding_quotes_its_interval(view: StudyView) -> None:
    findings = [
        f
        for verdict in arm_verdict.verdicts(view)
        for f in (*verdict.worse, *verdict.better, *verdict.unclear, *verdict.groups)
    ]
    assert len(findings) > 10
    assert all("95% interval" in finding.text for finding in findings)


def test_no_verdict_calls_anything_safe(view: StudyView) -> None:
    verdicts = arm_verdict.verdicts(view)
    assert "safe" not in (" ".join(map(every_text, verdicts)) + status.lead(view, verdicts)).lower()


def test_each_headline_is_said_once(view: StudyView) -> None:
    for verdict in arm_verdict.verdicts(view):
        headlines = (*verdict.worse, *verdict.better, *verdict.unclear)
        assert len(headlines) + len(verdict.missing) + len(verdict.undefined) == len(view.tasks)
        assert len({finding.contrast.task for finding in headlines}) == len(headlines)


def test_an_unfinished_task_is_named_and_not_counted(view: StudyView) -> None:
    verdict = {v.arm.name: v for v in arm_verdict.verdicts(view)}["wanda:pattern=2:4"]
    assert verdict.missing == ("probe_prompts",)
    assert "worse in language modelling" in verdict.status
    assert verdict.status.endswith(" · not fully measured")
    assert "1 variant not fully measured" in status.lead(view, arm_verdict.verdicts(view))


def test_a_strong_compression_is_worse_and_a_weak_one_mostly_not(view: StudyView) -> None:
    verdicts = {v.arm.name: v for v in arm_verdict.verdicts(view)}
    assert len(verdicts["magnitude:sparsity=0.5"].worse) > len(verdicts["magnitude:sparsity=0.1"].worse)
    assert verdicts["magnitude:sparsity=0.1"].unclear


def test_sizes_are_those_of_compression_json(view: StudyView) -> None:
    sizes = {v.arm.name: v.size for v in arm_verdict.verdicts(view)}
    assert sizes["magnitude:sparsity=0.5"] == (
        "whole model 269 MB → 163 MB (−39%), its compressed layers −50%; ideal storage, 16 bits per dense weight"
    )


def test_changed_answers_are_counted_in_words(view: StudyView) -> None:
    row = next(row for row in view.contrasts.values() if row.metric == "accuracy" and row.flips.total)
    text = answers.changed_text(with_columns(row, flips=3, flips_up=2, flips_down=0))
    assert text == "3 (2 gained, 0 lost, 1 as before; p item by item 1.000)"
    assert answers.changed_text(with_columns(row, flips=None)) == ""


def test_where_no_difference_could_be_detected_that_is_said(view: StudyView) -> None:
    row = next(row for row in view.contrasts.values() if row.metric == "accuracy" and row.mde is not None)
    text = matrix.detectable_text(replace(row, mde=None, n=4), "rate")
    assert text == "none could be detected with 4 items"
    assert matrix.detectable_text(replace(row, mde=None), "nats") == ""


def test_an_arm_without_compression_json_has_no_size(view: StudyView) -> None:
    assert arm_verdict.size_text(replace(view.arms[1], compression=None)) == "size not recorded"
    files = {"method": "ExLlamaV2", "totals": {"weights_size_bytes": 3_000_000}}
    assert arm_verdict.size_text(replace(view.arms[1], compression=files)) == "weight files of 3 MB"


def with_kv(arm: ArmView, before: int | None, after: int | None) -> ArmView:
    engine = {"engine": "hf"}
    facts = [{"engine": engine | ({} if size is None else {"kv_bytes_per_token": size})} for size in (before, after)]
    return replace(arm, dense_facts=facts[0], facts=arm.facts | facts[1])


def test_a_smaller_store_of_keys_and_values_is_shown_beside_the_size(view: StudyView) -> None:
    arm = view.arms[1]
    plain = arm_verdict.size_text(arm)
    assert arm_verdict.size_text(with_kv(arm, 46080, 24480)) == (
        f"{plain}; KV cache 46.1 kB \N{RIGHTWARDS ARROW} 24.5 kB per token (\N{MINUS SIGN}47%)"
    )
    assert arm_verdict.size_text(with_kv(arm, None, 24480)) == f"{plain}; KV cache 24.5 kB per token"
    assert (
        arm_verdict.size_text(with_kv(arm, 46080, 46080)) == arm_verdict.size_text(with_kv(arm, 46080, None)) == plain
    )


def test_an_arm_with_the_weights_of_dense_is_no_smaller_than_dense(view: StudyView) -> None:
    found = replace(view.arms[1], compression=None, facts={"totals": view.arms[1].totals})
    assert found.ratio
    assert "%" in arm_verdict.size_text(found)
    assert "weight files" not in arm_verdict.size_text(found)
    stored = replace(found, facts={"totals": found.totals | {"weights_size_bytes": 174_000_000}})
    assert arm_verdict.size_text(stored).endswith("; weight files of 174 MB")
    same = replace(found, same_weights=True)
    assert same.ratio == 0
    assert "%" not in arm_verdict.size_text(same)
    assert arm_verdict.size_text(replace(same, facts={})) == "the weights of dense"


def test_an_invalid_arm_is_named_with_the_reason_in_every_pair(view: StudyView) -> None:
    gone, other = (arm.name for arm in view.others[:2])
    plan = replace(
        view.plan, arms=tuple(replace(a, against=("dense", gone)) if a.name == other else a for a in view.plan.arms)
    )
    invalid = replace(
        view, plan=plan, manifest=view.manifest | {"invalid": {gone: {"reason": "another model answered"}}}
    )
    lines = list(against.refusals(invalid))
    assert lines == [
        f"{arm} is not compared with {of}: arm {gone} is invalid (another model answered)"
        for arm, of in ((gone, "dense"), (other, gone))
    ]
    assert list(against.refusals(invalid, other)) == lines[1:]
    assert list(against.refusals(view)) == []


def test_an_arm_without_any_answer_is_not_measured(view: StudyView) -> None:
    empty = replace(view, contrasts={}, estimates={})
    verdict = arm_verdict.verdicts(empty)[0]
    assert verdict.status == "not measured"
    assert verdict.missing == tuple(task.name for task in view.tasks)
    assert (*verdict.worse, *verdict.unclear, *verdict.better) == ()


def test_a_study_of_dense_alone_says_so(view: StudyView) -> None:
    assert "nothing to compare" in status.lead(view, arm_verdict.verdicts(replace(view, arms=view.arms[:1])))


def test_a_single_variant_is_not_counted(view: StudyView) -> None:
    strong = next(v for v in arm_verdict.verdicts(view) if v.depth > 1)
    mild = replace(strong, depth=0)
    assert status.lead(view, (mild,)).startswith("The variant did not get clearly worse in any headline measure")
    assert status.lead(view, (strong,)).startswith("The variant got clearly worse in at least one headline measure")


def test_an_interval_without_width_says_that_it_proves_nothing(view: StudyView) -> None:
    key = ("magnitude:sparsity=0.1", "probe_qa", "bias_ambiguous", "all")
    flat = with_columns(view.contrasts[key], difference=0.0, low=0.0, high=0.0, low90=0.0, high90=0.0,
                   verdict="no clear difference")  # fmt: skip
    verdict = arm_verdict.verdicts(replace(view, contrasts={**view.contrasts, key: flat}))[0]
    text = next(f.text for f in verdict.unclear if f.contrast.task == "probe_qa")
    assert text.startswith("no clear difference (0.000; 95% interval 0.000 to 0.000, of no width: it proves nothing)")


def test_an_interval_beside_zero_that_is_not_clear_shows_its_p(view: StudyView) -> None:
    contrast = next(c for c in view.contrasts.values() if c.intervals is not None and c.intervals.at95.low > 0)
    doubtful = with_columns(
        contrast,
        verdict="no clear difference",
        p=0.07,
        metric="profanity_rate",
        task="probe_prompts",
        arm="wanda:sparsity=0.5",
        group="all",
    )
    key = (doubtful.arm, doubtful.task, doubtful.metric, doubtful.group)
    verdicts = arm_verdict.verdicts(replace(view, contrasts={**view.contrasts, key: doubtful}))
    held = {f.contrast.task: f for v in verdicts if v.arm.name == doubtful.arm for f in v.unclear}
    text = held["probe_prompts"].text
    assert text.startswith("no clear difference (")
    assert "; p 0.070)" in text
    assert "less than" not in text
    assert verdict_text(doubtful, "rate") == "no clear difference, p 0.070"


def test_controls_are_no_groups_of_people(view: StudyView) -> None:
    arm, task, metric = "wanda:sparsity=0.5", "probe_qa", "bias_ambiguous"
    row = next(c for key, c in view.contrasts.items() if key[:3] == (arm, task, metric) and key[3] != "all")

    def summary(*groups: str) -> str:
        rows = {
            (arm, task, metric, group): with_columns(row, group=group, n=9, verdict="worse", p=0.01) for group in groups
        }
        more = replace(view, contrasts={**view.contrasts, **rows})
        return next(verdict.groups_summary for verdict in arm_verdict.verdicts(more) if verdict.arm.name == arm)

    assert summary("control=nonce") == summary()
    assert summary("age=new") != summary()


def with_trap(view: StudyView, task: str, metric: str, why: str) -> StudyView:
    """The study with a clear improvement of one measure of one arm that is none."""
    key = ("magnitude:sparsity=0.1", task, metric, "all")
    row = with_columns(view.contrasts[key], verdict="spurious improvement", caution=why, p_adjusted=0.001)
    return replace(view, contrasts={**view.contrasts, key: row})


@pytest.mark.parametrize(
    ("task", "metric", "why"),
    [
        ("probe_qa", "bias_ambiguous", "less bias because less able: accuracy 60% to 34%"),
        ("probe_prompts", "profanity_rate", "less toxic because less fluent: 40% of its completions are degenerate"),
    ],
)
def test_a_spurious_improvement_never_reads_as_better(view: StudyView, task: str, metric: str, why: str) -> None:
    trapped = with_trap(view, task, metric, why)
    verdict = arm_verdict.verdicts(trapped)[0]
    finding = next(f for f in verdict.better if f.contrast.task == task)
    assert finding.tone == "changed"
    assert finding.text.endswith(f". Spurious improvement: {why}")
    assert "better" not in finding.text
    cells = {c.task.name: matrix.headline_cell(trapped, verdict.arm, c) for c in matrix.overview(trapped).columns}
    assert (cells[task].tone, cells[task].word, cells[task].note) == ("changed", "spurious improvement", why)


def test_an_arm_with_only_spurious_improvements_is_not_better(view: StudyView) -> None:
    quiet = {key: replace(row, verdict="no clear difference") for key, row in view.contrasts.items()}
    trapped = with_trap(replace(view, contrasts=quiet), "probe_qa", "bias_ambiguous", "less able")
    assert arm_verdict.verdicts(trapped)[0].status == "spurious improvement"


def test_a_spurious_improvement_besides_the_headlines_is_a_caution(view: StudyView) -> None:
    why = "more “unknown”, not more careful: right answers there, 60% to 30%"
    verdict = arm_verdict.verdicts(with_trap(view, "probe_qa", "accuracy_ambiguous", why))[0]
    assert f"accuracy, ambiguous contexts, spurious improvement: {why}" in verdict.cautions


def test_an_arm_that_also_runs_differently_is_marked(view: StudyView) -> None:
    def verdict_of(compares: str) -> arm_verdict.ArmVerdict:
        rows = {key: replace(row, compares=compares) for key, row in view.contrasts.items()}
        return arm_verdict.verdicts(replace(view, contrasts=rows))[0]

    assert verdict_of("compression effect").compares == ""
    assert "deployment delta" in verdict_of("deployment delta").compares
    assert "run differently" in verdict_of("compression and deployment").compares
    assert "replicate" in verdict_of("replicate").compares


@pytest.mark.parametrize(("other", "named"), [("a", False), ("b", True), (None, True)])
def test_another_chat_template_is_named_as_what_differs(view: StudyView, other: str | None, named: bool) -> None:
    arm = view.others[0]
    engines = {DENSE: "a", arm.name: other}
    facts = {name: {"engine": {"chat_template_sha256": template}} for name, template in engines.items()}
    rows = {key: replace(row, compares="deployment delta") for key, row in view.contrasts.items()}
    run_otherwise = replace(view, contrasts=rows, manifest={**view.manifest, "arms": facts})
    text = arm_verdict.compares_text(run_otherwise, arm)
    assert "device, KV cache" in text
    assert ("KV cache, thinking, chat template)" in text) == named
    assert ("chat template" in against.in_words(run_otherwise, against.DIFFERS["deployment delta"], arm.name)) == named


def test_a_headline_without_a_pooled_row_is_told_group_by_group(view: StudyView) -> None:
    groups_by_name = {"all": (), "few": ("gender=women", "gender=men"), "many": tuple(f"age={n}" for n in range(7))}
    row = view.contrasts["wanda:sparsity=0.5", "probe_prompts", "profanity_rate", "all"]
    subjects = {}
    for name, groups in groups_by_name.items():
        rows = {key: c for key, c in view.contrasts.items() if key[2] != "profanity_rate" or name == "all"}
        rows |= {(row.arm, row.task, row.metric, group): replace(row, group=group) for group in groups}
        estimates = {key: e for key, e in view.estimates.items() if key[2] != "profanity_rate"}
        verdicts = arm_verdict.verdicts(replace(view, contrasts=rows, estimates=estimates))
        mine = next(v for v in verdicts if v.arm.name == row.arm)
        subjects_of_task = [
            f.subject for f in (*mine.worse, *mine.better, *mine.unclear) if f.contrast.task == row.task
        ]
        subjects[name] = (subjects_of_task, [text for text in mine.undefined if text.startswith("profanity")])
    assert subjects["all"] == (["profanity"], [])
    assert subjects["few"] == (["profanity (gender: women)", "profanity (gender: men)"], [])
    assert subjects["many"] == ([], ["profanity: reported by group only"])


def with_metrics(view: StudyView, task: str, metrics: tuple[Metric, ...]) -> StudyView:
    """The study with more metrics in one task."""
    planned = {each.name: each.planned for each in view.tasks}[task]
    more = replace(planned, task=replace(planned.task, metrics=(*planned.task.metrics, *metrics)))
    return replace(view, tasks=tuple(replace(t, planned=more) if t.name == task else t for t in view.tasks))


def test_a_dialect_gap_is_never_shown_without_its_ratio(view: StudyView) -> None:
    row = next(row for row in view.contrasts.values() if row.group == "all")
    view = with_metrics(view, row.task, bits_gaps(of_pair))
    gap = replace(row, metric="dialect_gap_bits")
    ratio = replace(row, metric="dialect_ratio", dense=1.21, value=1.172)
    assert as_ratio(view, gap) == ""
    view.contrasts[ratio.arm, ratio.task, ratio.metric, ratio.group] = ratio
    assert as_ratio(view, gap) == "; ratio 1.210 → 1.172"
    assert as_ratio(view, row) == ""


def test_an_arm_that_calibrates_says_that_it_is_one_calibration_draw(view: StudyView) -> None:
    names_draw = {arm.name: "One calibration draw." in arm_verdict.compares_text(view, arm) for arm in view.others}
    assert names_draw == {arm.name: arm.name.startswith("wanda") for arm in view.others}


def test_only_numbers_of_arms_that_calibrate_name_the_calibration_draw(view: StudyView) -> None:
    rows = [row for task in view.tasks for row in matrix.number_rows(view, task)]
    assert rows
    assert all(("one calibration draw" in row.note) == row.arm.startswith("wanda") for row in rows)
