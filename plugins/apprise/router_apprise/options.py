"""The options of an alert with `handler: apprise`, and what is checked of them at the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from router_apprise.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where alerts are sent."""

    #: They hold tokens and passwords: kept out of the repr.
    urls: Annotated[
        list[str], Meta(min_length=1, description="Addresses as apprise writes them: tgram://…, slack://….")
    ] = field(repr=False)
    prefix: Annotated[str, Meta(description="Stands before every title, to tell routers apart.")] = ""

    def __post_init__(self) -> None:
        """Load the service of each URL.

        Raises:
            ValueError: One cannot be used; it says which, and nothing of what is in it.
        """
        for index, url in enumerate(self.urls):
            if url in self.urls[:index]:
                raise ValueError(f"urls[{index}]: the same address stands before it")
            try:
                Service(url)
            except ValueError as exc:
                raise ValueError(f"urls[{index}]: {exc}") from None
