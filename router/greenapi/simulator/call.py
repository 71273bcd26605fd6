"""One call of a method, and its arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from router.events import JsonObject
from router.greenapi.simulator.account import Account
from router.greenapi.simulator.answers import Answer, invalid

#: Carries out a method for an instance. May raise ``Refused``.
Method = Callable[[Account, "Call"], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Call:
    """What came with a request."""

    #: The method's name.
    method: str
    #: What stands behind the token in the path.
    last: str
    query: Mapping[str, str]
    #: The JSON object, or the fields of the form.
    arguments: JsonObject
    #: Who calls: the address, and what it says of itself.
    caller: str
    #: Address of this API.
    url: str

    def text(self, name: str) -> str:
        """Return an argument that has to be a text.

        Raises:
            Refused: It is missing, or of another type.
        """
        value: str = self._argument(name, str, "a string")
        return value

    def list(self, name: str) -> list[Any]:
        """Return an argument that has to be an array with something in it.

        Raises:
            Refused: It is missing, empty, or of another type.
        """
        value: list[Any] = self._argument(name, list, "an array")
        return value

    def object(self, name: str) -> JsonObject:
        """Return an argument that has to be an object.

        Raises:
            Refused: It is missing, or of another type.
        """
        value: JsonObject = self._argument(name, dict, "an object")
        return value

    def number(self, name: str) -> float:
        """Return an argument that has to be a number.

        Raises:
            Refused: It is missing, or of another type.
        """
        value: float = self._argument(name, (int, float), "a number")
        return value

    def seconds(self, name: str, default: int, allowed: range) -> int:
        """Return a whole number of the query.

        Raises:
            Refused: It is none, or not one of those that are allowed.
        """
        given = self.query.get(name, str(default))
        if not (given.isascii() and given.isdecimal() and len(given) < 10 and int(given) in allowed):
            raise invalid(f"'{name}' must be an integer from {allowed[0]} to {allowed[-1]}")
        return int(given)

    def _argument(self, name: str, kind: Any, expected: str) -> Any:
        value = self.arguments.get(name)
        if value in (None, "", []):
            raise invalid(f"'{name}' is required")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise invalid(f"'{name}' must be {expected}")
        return value
