"""Posts every event of a route to a URL: as JSON, as CloudEvents, or as GREEN-API would."""

from __future__ import annotations

from router import RegisterCommand, RegisterHandler, hookimpl
from router_forward.forward import Forward
from router_forward.options import Options
from router_forward.signature import new_secret

__all__ = ["Forward", "Options", "new_secret"]


@hookimpl
def register_handlers(register: RegisterHandler) -> None:
    """Offer ``forward``."""
    register("forward", Forward, options=Options)


@hookimpl
def register_commands(register: RegisterCommand) -> None:
    """Offer ``router forward secret``."""
    register("secret", secret)


def secret() -> None:
    """Print a new secret, for the option `secret` and for the receiver."""
    print(new_secret())
