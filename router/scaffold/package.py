"""Writing the package: the files of the template, with another name and another notification."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from router.errors import NotMade
from router.scaffold.sample import Sample

#: What the plugin of the template is called.
_TEMPLATE = "greeter"
_EVENT = "tests/event.json"
#: By their names in the template; whatever else tests left there is not copied.
_FILES = (
    "README.md",
    "gitignore",
    "pyproject.toml",
    "router_greeter/__init__.py",
    "router_greeter/py.typed",
    "tests/test_greeter.py",
)


def make_package(name: str, folder: Path, sample: Sample | None = None) -> Path:
    """Make a package in a folder of its own, and return that folder.

    Args:
        name: What the plugin is called; see `check_name`.
        folder: Where to, made if it is not there.
        sample: What it is tested with; by default the template's.

    Raises:
        NotMade: The package's folder is there already, or cannot be written.
    """
    written = dict(_filled(name, sample))
    target = folder / f"router-{name}"
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        raise NotMade(f"{target}: there is one already; expected a new folder") from None
    except OSError as exc:
        raise NotMade(f"{target}: cannot be made: {exc.strerror}") from None
    try:
        for path, content in written.items():
            (target / path).parent.mkdir(exist_ok=True)
            (target / path).write_text(content, "utf-8")
    except OSError as exc:
        shutil.rmtree(target, ignore_errors=True)
        raise NotMade(f"{target}: cannot be written: {exc.strerror}") from None
    return target


def _filled(name: str, sample: Sample | None) -> Iterator[tuple[str, str]]:
    """Yield the path and the content of each file."""
    template = files(__package__).joinpath("template")
    own = Sample.of_body(template.joinpath(_EVENT).read_bytes())
    words = _Words(name, own, sample or own)
    yield _EVENT, words.sample.json
    for path in _FILES:
        yield words.in_path(path), words.in_text(template.joinpath(path).read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class _Words:
    """What stands in the template, and what takes its place."""

    name: str
    own: Sample
    sample: Sample

    def in_path(self, path: str) -> str:
        """Return the path of a file; what begins with a point does so in the package only."""
        return self._named(path.replace("gitignore", ".gitignore"))

    def in_text(self, text: str) -> str:
        """Return the content of a file."""
        for part in (_route, _instances, _expectation):
            text = text.replace(part(self.own), part(self.sample))
        return self._named(text)

    def _named(self, text: str) -> str:
        module = self.name.replace("-", "_")
        return text.replace(f"_{_TEMPLATE}", f"_{module}").replace(_TEMPLATE, self.name)


# What of the template depends on the notification


def _route(sample: Sample) -> str:
    when = f"    when: {sample.when}\n" if sample.when else ""
    return f"    type: {sample.type}\n{when}    handler: {_TEMPLATE}\n"


def _instances(sample: Sample) -> str:
    return f"instances=[{sample.event.instance or ''}]"


def _expectation(sample: Sample) -> str:
    if not sample.is_answered:
        return "router.assert_no_reply()  # nobody to reply to, or nobody but a machine"
    return f'router.assert_replied("Hello, {sample.event.sender_name or "you"}!")'
