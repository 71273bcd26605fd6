from __future__ import annotations

import pytest
from router_autoreply.texts import LONGEST, folded


@pytest.mark.parametrize("text", ["ÉTÉ", "e\u0301te\u0301", "Été"], ids=ascii)
def test_what_looks_alike_is_compared_alike(text: str) -> None:
    assert folded(text) == "été"


@pytest.mark.timeout(5)
def test_many_marks_on_a_letter_take_no_time() -> None:
    text = "a" + "\u0301\u0316" * 50_000

    assert len(folded(text)) < 40
    assert folded("и" + "\u0306" * 30) == "й" + "\u0306" * 29
    assert len(folded("\ufdfa" * LONGEST)) == 18 * LONGEST
