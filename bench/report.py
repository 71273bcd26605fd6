"""What was measured, as values, as JSON, as a table and as a page of the docs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.figures import Budget, Figure
from bench.machine import Fsync
from bench.neighbours import TOO_MUCH
from bench.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one row."""

    row: str
    seconds: float
    #: The disk right before and after the row.
    fsync: Fsync
    #: The share of the processors that worked for others meanwhile, from 0 to 1.
    others: float
    figures: tuple[Figure, ...] = ()
    #: Why it could not be measured.
    problem: str | None = None

    @property
    def is_disturbed(self) -> bool:
        """Whether others worked so much that the figures are worth little."""
        return self.others > TOO_MUCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What came of one run."""

    #: ISO 8601.
    date: str
    machine: dict[str, str]
    results: tuple[Result, ...]


def to_json(results: Results) -> dict[str, Any]:
    """Return what ``results.json`` holds."""
    return {
        "date": results.date,
        "machine": results.machine,
        "rows": [
            {
                "row": result.row,
                "seconds": round(result.seconds, 1),
                "fsync_ms": asdict(result.fsync),
                "others": round(result.others, 3),
                "figures": [figure.to_json() for figure in result.figures],
                "problem": result.problem,
            }
            for result in results.results
        ],
    }


def from_json(data: dict[str, Any]) -> Results:
    """Return what `to_json` was given."""
    return Results(
        date=data["date"],
        machine=data["machine"],
        results=tuple(
            Result(
                row=row["row"],
                seconds=row["seconds"],
                fsync=Fsync(**row["fsync_ms"]),
                others=row["others"],
                figures=tuple(Figure.from_json(figure) for figure in row["figures"]),
                problem=row["problem"],
            )
            for row in data["rows"]
        ),
    )


# For the terminal


def table(result: Result) -> str:
    """Return the figures of a row, aligned."""
    disk = f"one fsync {result.fsync.p50:.2f} ms, p99 {result.fsync.p99:.2f} ms"
    lines = [f"{result.row}  ({disk}; {result.seconds:.0f} s)"]
    if result.is_disturbed:
        lines.append(f"  DISTURBED: {_disturbed(result)}")
    if result.problem:
        lines.append(f"  COULD NOT BE MEASURED: {result.problem}")
    cells = [_cells(figure) for figure in result.figures]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for name, value, spread, budget, verdict, detail in cells:
        texts = [
            name.ljust(widths[0]),
            value.rjust(widths[1]),
            spread.ljust(widths[2]),
            budget.ljust(widths[3]),
            verdict.ljust(widths[4]),
            detail,
        ]
        lines.append(f"  {'  '.join(texts)}".rstrip())
    return "\n".join(lines) + "\n"


def _cells(figure: Figure) -> tuple[str, str, str, str, str, str]:
    spread = "–".join(map(_number, figure.spread)) if figure.spread else ""
    value = f"{_number(figure.value)} {figure.unit}".rstrip()
    return figure.name, value, spread, _budget(figure.budget), _verdict(figure), figure.detail


def _number(value: float) -> str:
    """Return three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _budget(budget: Budget | None) -> str:
    if budget is None:
        return ""
    return f"≥ {budget.at_least:g}" if budget.at_least is not None else f"≤ {budget.at_most:g}"


def _verdict(figure: Figure) -> str:
    return {None: "", True: "ok", False: "MISSED"}[figure.is_met]


def _disturbed(result: Result) -> str:
    return f"others used {result.others:.0%} of the processors meanwhile; measure again when it is quiet"


# For the docs

#: Holds ``{machine}`` and ``{rows}``.
_TEMPLATE = Path(__file__).parent / "page.md"


def page(results: Results, rows: Sequence[Row]) -> str:
    """Return ``docs/reference/performance.md``."""
    by_name = {row.name: row for row in rows}
    sections = "\n\n".join(_section(by_name[result.row], result) for result in results.results)
    template = _TEMPLATE.read_text("utf-8")
    return template.replace("{machine}", _machine(results)).replace("{rows}", sections)


def _machine(results: Results) -> str:
    facts = [f"| {name} | {value} |" for name, value in results.machine.items()]
    return "\n".join([f"| measured | {results.date} |", "| --- | --- |", *facts])


def _section(row: Row, result: Result) -> str:
    head = f"## {row.title}\n\n{row.about}\n"
    if result.problem:
        return f"{head}Could not be measured: {result.problem}"
    disk = f"One fsync meanwhile: {result.fsync.p50:.2f} ms, p99 {result.fsync.p99:.2f} ms."
    if result.is_disturbed:
        disk += f" **Disturbed**: {_disturbed(result)}."
    lines = ["| figure | measured | budget | | made of |", "| --- | --- | --- | --- | --- |"]
    return head + "\n".join([*lines, *map(_line, result.figures)]) + f"\n\n{disk}"


def _line(figure: Figure) -> str:
    name, value, spread, budget, verdict, detail = _cells(figure)
    measured = f"{value} ({spread})" if spread else value
    return f"| {name} | {measured} | {budget} | {verdict.replace('MISSED', '**missed**')} | {detail} |"
