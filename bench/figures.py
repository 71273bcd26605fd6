"""What is measured: figures, their budgets, and the little arithmetic that makes them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class CannotMeasure(Exception):
    """Raised when a figure would be of work that was not done, or something that measures is missing."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The bound that a figure has to keep; one of the two is set."""

    at_least: float | None = None
    at_most: float | None = None

    def is_met_by(self, value: float) -> bool:
        """Say whether a figure keeps it."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the report."""

    name: str
    value: float
    #: ``×`` for a ratio of two things that were measured in this run.
    unit: str
    budget: Budget | None = None
    #: The least and the greatest of the rounds that ``value`` is the median of.
    spread: tuple[float, float] | None = None
    #: What the figure was made of.
    detail: str = ""

    @classmethod
    def of_rounds(
        cls, name: str, rounds: Sequence[float], unit: str, *, budget: Budget | None = None, detail: str = ""
    ) -> Figure:
        """Return the median of several rounds, with the spread."""
        return cls(
            name=name,
            value=statistics.median(rounds),
            unit=unit,
            budget=budget,
            spread=(min(rounds), max(rounds)),
            detail=detail,
        )

    @property
    def is_met(self) -> bool | None:
        """Whether the budget is kept; ``None`` without one."""
        return None if self.budget is None else self.budget.is_met_by(self.value)

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in the results."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "at_least": self.budget and self.budget.at_least,
            "at_most": self.budget and self.budget.at_most,
            "spread": self.spread,
            "detail": self.detail,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Figure:
        """Return what `to_json` wrote."""
        bounds = data["at_least"], data["at_most"]
        return cls(
            name=data["name"],
            value=data["value"],
            unit=data["unit"],
            budget=None if bounds == (None, None) else Budget(*bounds),
            spread=data["spread"] and tuple(data["spread"]),
            detail=data["detail"],
        )


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value that ``percent`` of the values do not exceed (nearest rank).

    Raises:
        CannotMeasure: There are no values.
    """
    ranked = sorted(values)
    if not ranked:
        raise CannotMeasure("nothing was measured: no values to rank")
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each round: what the machine does in between touches both alike."""
    return [a / b for a, b in zip(above, below, strict=True)]
