"""``make bench``: every figure of docs/reference/performance.md, in one run on one machine.

A whole run writes the results and the page; single rows and ``--quick`` only print.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, postgres, report
from bench.figures import CannotMeasure, Figure
from bench.neighbours import Neighbours
from bench.others import VENV
from bench.report import Result, Results
from bench.rows import FULL, QUICK, Effort, Row
from bench.rows.all import ROWS

_ROOT = Path(__file__).parents[1]
_RESULTS = _ROOT / "bench" / "results.json"
_PAGE = _ROOT / "docs" / "reference" / "performance.md"
#: On the disk that is measured; git ignores it.
_WORK = _ROOT / "var"


def main() -> None:
    """Do what the command line asks for."""
    arguments = _arguments()
    if arguments.page:
        _write_page()
        return
    try:
        _require_tools()
        _, load_core = machine.cores()
    except CannotMeasure as exc:
        sys.exit(f"make bench: {exc}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what it started is stopped, too
    os.sched_setaffinity(0, {load_core})  # this process asks and waits: not on the server's processor
    chosen = [row for row in ROWS if row.name in (arguments.rows or {row.name for row in ROWS})]
    results = _measure(chosen, QUICK if arguments.quick else FULL)
    if not arguments.rows and not arguments.quick:
        _RESULTS.write_text(json.dumps(report.to_json(results), indent=1, ensure_ascii=False) + "\n", "utf-8")
        _write_page()
    sys.exit(any(result.problem for result in results.results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"what to measure: {', '.join(names)}; all")
    parser.add_argument("--quick", action="store_true", help="short turns, to see that everything works")
    parser.add_argument("--page", action="store_true", help="write the page again from the last results")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(names):
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return arguments


def _require_tools() -> None:
    missing = [tool for tool in ("wrk", "taskset") if shutil.which(tool) is None]
    if missing:
        raise CannotMeasure(f"{' and '.join(missing)} not found: apt-get install wrk util-linux")
    if not (VENV / "bin" / "k6").exists():
        raise CannotMeasure("bench/.venv is not there: `make bench` sets it up")


def _measure(rows: Sequence[Row], effort: Effort) -> Results:
    _WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_WORK) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        results = Results(
            date=datetime.now(UTC).date().isoformat(),
            machine={**machine.facts(folder), "PostgreSQL": postgres.version()},
            results=tuple(_result(row, effort, folder) for row in rows),
        )
    _print_verdict(results)
    return results


def _result(row: Row, effort: Effort, folder: Path) -> Result:
    """Measure a row, print what came of it, and remove what it left on the disk."""
    own = folder / row.name
    own.mkdir()
    disk, started, neighbours = machine.fsync_times(own), time.monotonic(), Neighbours()
    figures: Sequence[Figure] = ()
    problem = None
    try:
        figures = row.measure(effort, own)
    except CannotMeasure as exc:
        problem = str(exc)
    result = Result(
        row=row.name,
        seconds=time.monotonic() - started,
        others=neighbours.share(),
        fsync=machine.fsync_of(disk + machine.fsync_times(own)),
        figures=tuple(figures),
        problem=problem,
    )
    print(report.table(result), flush=True)
    shutil.rmtree(own)
    return result


def _print_verdict(results: Results) -> None:
    missed = [
        f"{result.row}: {figure.name}"
        for result in results.results
        for figure in result.figures
        if figure.is_met is False
    ]
    broken = [result.row for result in results.results if result.problem]
    disturbed = [result.row for result in results.results if result.is_disturbed]
    if missed:
        print(f"MISSED: {'; '.join(missed)}")
    if broken:
        print(f"COULD NOT BE MEASURED: {', '.join(broken)}")
    if disturbed:
        print(f"DISTURBED: {', '.join(disturbed)}")
    if not missed and not broken:
        print("every budget is kept")


def _write_page() -> None:
    results = report.from_json(json.loads(_RESULTS.read_text("utf-8")))
    _PAGE.write_text(report.page(results, ROWS), "utf-8")


if __name__ == "__main__":
    main()
