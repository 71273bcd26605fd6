"""The command ``router``: one file per noun, each thin: parse, call, show.

Exit codes: 0 done, 1 a problem in the input or the configuration, 2 usage, 3 could not start.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from router.cli.app import app
from router.errors import RouterError


def main() -> None:
    """Run the command line. An expected error is told in its own words, without a traceback."""
    if os.getpid() == 1:
        # Of a container: the kernel ends it by no signal that it does not handle, so that it could not be
        # stopped while it starts. What runs longer handles signals itself.
        signal.signal(signal.SIGTERM, _end)
    try:
        app(prog_name="router")
    except RouterError as exc:
        print(exc, file=sys.stderr)
        sys.exit(1)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """End as any other process does at once."""
    os._exit(128 + number)
