from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence

import pytest

from router.cli.bulk import carry_out
from router.errors import InboxUnavailable
from router.pace import Pace


def test_all_batches_are_done_and_handed_on(capsys: pytest.CaptureFixture[str]) -> None:
    taken: list[int] = []
    assert carry_out(lambda pace: pace.batches(range(1_200)), taken.extend, rate=None, total=1_200)
    assert (taken, capsys.readouterr()) == (list(range(1_200)), ("", ""))


@pytest.mark.parametrize(("total", "said"), [(100, "stopped: 3 of 100 done\n"), (None, "stopped: 3 done\n")])
def test_ctrl_c_lets_the_batch_that_runs_end_and_says_how_many_are_done(
    capsys: pytest.CaptureFixture[str], total: int | None, said: str
) -> None:
    before = signal.getsignal(signal.SIGINT)
    taken: list[int] = []

    def work(pace: Pace) -> Iterator[Sequence[int]]:
        for batch in pace.batches(range(100)):
            if batch == [2]:
                signal.raise_signal(signal.SIGINT)
            yield batch

    # At 2 a second the pauses before the first three add up to a second, all others to 48.
    assert not carry_out(work, taken.extend, rate=2, total=total)
    assert (taken, capsys.readouterr().err) == ([0, 1, 2], said)
    assert signal.getsignal(signal.SIGINT) is before


def test_before_an_error_it_is_said_how_many_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)

    def work(_: Pace) -> Iterator[Sequence[int]]:
        yield [1, 2]
        raise InboxUnavailable("full")

    with pytest.raises(InboxUnavailable):
        carry_out(work, lambda _: None, rate=None, total=9)
    assert capsys.readouterr().err == "stopped: 2 of 9 done\n"
    assert signal.getsignal(signal.SIGINT) is before
