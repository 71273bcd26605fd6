"""The command ``router``: one file per noun, each thin: parse, call, show.

Exit codes: 0 done, 1 a problem in the input or the configuration, 2 usage, 3 could not start.
"""

from __future__ import annotations

import sys

from router.cli.app import app
from router.errors import RouterError


def main() -> None:
    """Run the command line. An expected error is told in its own words, without a traceback."""
    try:
        app(prog_name="router")
    except RouterError as exc:
        print(exc, file=sys.stderr)
        sys.exit(1)
