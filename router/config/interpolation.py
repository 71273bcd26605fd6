"""``${NAME}``, ``${NAME:-default}`` and ``${file:path}`` inside a text; ``$${`` is a ``${`` as such."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: The largest file that ``${file:…}`` reads, in bytes.
MAX_FILE = 64 * 1024

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


@dataclass(slots=True)
class Filled:
    """A text after interpolation."""

    text: str = ""
    #: Values that came from the environment; a default is not one of them.
    from_environment: list[str] = field(default_factory=list)
    from_files: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where values come from: the environment, and files beside ``routes.yaml`` or anywhere else."""

    environ: Mapping[str, str] = field(repr=False)
    #: What a relative path is relative to.
    folder: Path

    def fill(self, text: str) -> Filled:
        """Replace every reference in ``text``; one without a value becomes a problem and an empty text."""
        filled = Filled()
        filled.text = _REFERENCE.sub(lambda match: self._value(match, filled), text)
        return filled

    def _value(self, match: re.Match[str], filled: Filled) -> str:
        reference = match[1]
        if reference is None:
            return "${"
        try:
            return self._look_up(reference, match[0].endswith("}"), filled)
        except LookupError as error:
            filled.problems.append(str(error.args[0]))
            return ""

    def _look_up(self, reference: str, closed: bool, filled: Filled) -> str:
        if closed and reference.startswith("file:"):
            value = self._file(reference.removeprefix("file:"))
            filled.from_files.append(value)
            return value
        variable = _VARIABLE.fullmatch(reference)
        if not closed or variable is None:
            shown = repr("${" + reference + "}" if closed else f"${{{reference[:20]}…")
            forms = "${NAME}, ${NAME:-default} or ${file:/a/path}; $${ stands for ${ itself"
            raise LookupError(f"bad reference {shown}: expected {forms}")
        return self._variable(variable[1], variable[2], filled)

    def _variable(self, name: str, default: str | None, filled: Filled) -> str:
        value = self.environ.get(name)
        if default is not None and not value:  # as a shell's :- does, for an empty value too
            return default
        if value is None:
            raise LookupError(
                f"environment variable {name!r} is not set: set it, or give a default as ${{{name}:-…}}"
            )
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise LookupError(f"environment variable {name!r} is not UTF-8")
        filled.from_environment.append(value)
        return value

    def _file(self, path: str) -> str:
        try:
            with (self.folder / path).open("rb") as file:
                content = file.read(MAX_FILE + 1)
            if len(content) > MAX_FILE:
                raise LookupError(
                    f"file {path!r} is larger than {MAX_FILE // 1024} KiB: expected a secret or a short text"
                )
            text = content.decode()
        except UnicodeDecodeError:
            raise LookupError(f"file {path!r} is not UTF-8 text") from None
        except OSError as error:
            raise LookupError(f"file {path!r} cannot be read: {error.strerror}") from None
        except ValueError:  # a NUL in the path
            raise LookupError(f"file {path!r} cannot be read: no such path") from None
        return text.removesuffix("\n").removesuffix("\r")
