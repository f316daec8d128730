"""What an arm's folder gives back."""

from __future__ import annotations

from pathlib import Path

from evenhand.core.record import ItemRow
from evenhand.prove._arms import rows_in

SEPARATORS = "line \u2028 paragraph \u2029 next \x85 form \x0c file \x1c"


def test_separators_inside_a_text_do_not_end_a_row(tmp_path: Path) -> None:
    """Questions of MMLU hold some; JSON leaves them as they are."""
    rows = [
        ItemRow(benchmark="mmlu", id=str(n), cluster="a", origin="file:1", groups={}, values={}, status="scored",
                texts={"question": SEPARATORS})
        for n in range(2)
    ]  # fmt: skip
    (tmp_path / "items.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows), "utf-8")
    assert list(rows_in(tmp_path)) == rows
