"""The problems of an invalid notification as the tables hold them: ``[[path, rule, message], …]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from router.events import Problem


def dump_problems(problems: Sequence[Problem]) -> str | None:
    """Return the problems as JSON; ``None`` where there are none."""
    if not problems:
        return None
    return orjson.dumps([(problem.path, problem.rule, problem.message) for problem in problems]).decode()


def load_problems(dumped: str | None) -> tuple[Problem, ...]:
    """Return the problems that `dump_problems` made JSON of."""
    problems: list[Any] = orjson.loads(dumped) if dumped else []
    return tuple(Problem(*problem) for problem in problems)
