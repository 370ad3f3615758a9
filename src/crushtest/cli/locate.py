"""The command that says which blocks carry an arm's divergence: locate."""

from __future__ import annotations

from typing import Annotated

import typer

from crushtest.cli.envelope import print_result
from crushtest.cli.options import Folder, Threads
from crushtest.cli.output import AsJson, print_line, print_table


def locate(
    folder: Folder,
    arm: Annotated[str, typer.Option(help="The arm: the study's model with a recipe, in engine hf.")],
    items: Annotated[int, typer.Option(min=1, help="Items per task and half that are measured, about.")] = 64,
    threads: Threads = None,
    json: AsJson = False,
) -> None:
    """Rank an arm's blocks by what each carries of its divergence from dense, and try a repair.

    One block at a time goes back to dense, on half of the clusters. The repair gives finer bits to the blocks that
    carry most. On the other half it is compared with random blocks, the last blocks and smaller groups at equal bytes.
    If it does not beat them all, there is none.

    Example: crushtest locate studies/demo --arm rtn:bits=3,group_size=64
    """
    from crushtest.pipeline.search.locate import locate as locate_in
    from crushtest.report.page.locate_page import share_text, verdict, write_locate_page
    from crushtest.study.folder import StudyFolder
    from crushtest.study.located import LocateFolder

    record = locate_in(folder, arm, items)
    page = write_locate_page(LocateFolder(StudyFolder(folder), arm))
    if json:
        print_result("locate", {**record.model_dump(mode="json"), "page": str(page)})
        return
    print_table([["block", "carries"], *([part.name, share_text(part.mean)] for part in record.parts)])
    if record.variants:
        rows = [
            [
                one.name,
                f"{one.bits_per_weight:.3f}",
                f"{sum(one.divergence.values()) / len(one.divergence):.2f}",
                share_text(one.ahead),
            ]
            for one in record.variants
        ]
        print_table([["variant", "bits per weight", "divergence, of the arm's", "repair ahead by"], *rows])
    print_line(verdict(record))
    if record.helps:
        print_line(f"recipe: {record.repair}")
    print_line(f"page: {page}")
