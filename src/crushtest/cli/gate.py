"""The command that checks a study against a policy: gate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from crushtest.cli.at_address import at_address
from crushtest.cli.envelope import print_result
from crushtest.cli.options import Place
from crushtest.cli.output import AsJson, print_line, width


@at_address("folder", writes=False)
def gate(
    folder: Place,
    policy: Annotated[
        str, typer.Option(help="A policy file, or a built-in policy: standard, strict, refusal, decision.")
    ] = "standard",
    explain: Annotated[
        bool, typer.Option("--explain", help="Show for each rule what was measured and what would pass.")
    ] = False,
    json: AsJson = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML to this file.")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Also print GitHub annotations: at most ten, the worst first.")
    ] = False,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Also append Markdown to this file: "$GITHUB_STEP_SUMMARY" in a job.'),
    ] = None,
) -> None:
    """Check a study against a policy: exit code 0 passed, 3 regression, 4 inconclusive.

    A rule that cannot be evaluated never passes: no data, too few items or an unchanged arm exit with 4.

    Example: crushtest gate studies/demo --policy standard --explain
    """
    from crushtest import gate as gates

    result = gates.run_gate(folder, policy)
    if junit:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_text(gates.as_junit(result), encoding="utf-8")
    if summary:
        summary.parent.mkdir(parents=True, exist_ok=True)
        with summary.open("a", encoding="utf-8") as file:
            file.write(gates.as_markdown(result))
    if json:
        print_result("gate", gates.as_json(result), status=result.outcome)
    elif explain:
        print("\n".join(gates.explain_lines(result)))
    else:
        print("\n".join(gates.gate_lines(result, width())))
    if github:
        print("\n".join(gates.as_annotations(result)), file=sys.stderr if json else sys.stdout)
    print_line(f"gate: {result.outcome}, by policy {policy}", file=sys.stderr)
    own = Path(policy).is_file()
    fitting = gates.fitting_policies(folder) if not own and any(check.row is None for check in result.checks) else []
    if fitting and policy not in fitting:
        print(f"gate: for the tasks of this study there is --policy {' or '.join(fitting)}", file=sys.stderr)
    raise typer.Exit(result.exit_code)
