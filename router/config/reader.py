"""``routes.yaml`` → `Document` → `Config`; between the two the plugins are loaded that it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from router.config.build import build, plugins_dir
from router.config.interpolation import Sources
from router.config.rules import check_rules, items, label
from router.config.settings import Config
from router.config.structure import check_options, check_structure, suggestion
from router.config.tree import Complaint, Keys, Tree, grow
from router.config.yaml12 import MappingNode, Node, Place, ScalarNode, YamlError, compose, end_of
from router.errors import ConfigError, ConfigProblem
from router.events import JsonObject

_NOWHERE = Place(0, 0)


class Options(Protocol):
    """What a handler says of its options."""

    @property
    def schema(self) -> JsonObject | None:
        """JSON Schema; ``None``: any will do."""

    @property
    def make(self) -> Callable[[Mapping[str, Any]], Any]:
        """What raises `ValueError` if options that fit the schema do not fit together."""


def read(path: Path, environ: Mapping[str, str]) -> Document:
    """Read ``routes.yaml``.

    Args:
        path: The file; relative paths in it start at its folder.
        environ: Where ``${NAME}`` is looked up.

    Raises:
        ConfigError: Nothing can be read at all: there is no such file, it is not UTF-8, not YAML,
            empty or not a mapping. Every other problem is kept in the document.
    """
    try:
        text = _text(path)
    except YamlError as error:
        raise ConfigError([_problem(path, Complaint(error.place, error.message))]) from None
    return parse(text, path, environ)


def parse(text: str, path: Path, environ: Mapping[str, str]) -> Document:
    """Read the text of ``routes.yaml``; ``path`` is where it is, or would be.

    Raises:
        ConfigError: As `read`.
    """
    try:
        root = _root(text)
    except YamlError as error:
        raise ConfigError([_problem(path, Complaint(error.place, error.message))]) from None
    tree = grow(root, Sources(environ, path.parent))
    check_structure(tree, lambda keys: label(tree, keys))
    check_rules(tree, path.parent)
    return Document(path, tree)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise YamlError(_NOWHERE, "there is no such file") from None
    except OSError as error:
        raise YamlError(_NOWHERE, f"the file cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the path
        raise YamlError(_NOWHERE, "there is no such file") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = end_of(content[: error.start].decode("utf-8-sig"))
        raise YamlError(place, "the file is not UTF-8: save it as UTF-8") from None


def _root(text: str) -> Node:
    root = compose(text)
    if root is None or (isinstance(root, ScalarNode) and root.plain and not root.text):
        raise YamlError(_NOWHERE, "the file is empty: expected at least 'routes'")
    if not isinstance(root, MappingNode):
        raise YamlError(root.place, "expected a mapping with keys such as 'routes'")
    return root


def _problem(path: Path, complaint: Complaint) -> ConfigProblem:
    return ConfigProblem(str(path), *complaint.place, complaint.message)


class Document:
    """A file that was read, with the problems found so far."""

    def __init__(self, path: Path, tree: Tree) -> None:
        self.path = path
        self._tree = tree

    @property
    def problems(self) -> list[ConfigProblem]:
        """Everything that is wrong, in the order of the file."""
        found = sorted(self._tree.complaints, key=lambda complaint: complaint.place)
        return [_problem(self.path, complaint) for complaint in found]

    @property
    def handler_names(self) -> frozenset[str]:
        """The handlers that routes name, also where other things are wrong with them."""
        return frozenset(self._tree.get(keys) for keys in self._named("routes", "handler"))

    @property
    def channel_names(self) -> frozenset[str]:
        """The alert channels that alerts name, also where other things are wrong with them."""
        return frozenset(self._tree.get(keys) for keys in self._named("alerts", "handler"))

    @property
    def plugin_names(self) -> frozenset[str]:
        """The plugins that are named themselves."""
        return frozenset(self._tree.get(keys) for keys in self._named("plugins", "name"))

    @property
    def optional_plugins(self) -> frozenset[str]:
        """Those of them that the router can do without."""
        named = [keys for keys in self._named("plugins", "name") if not self._is_required(keys)]
        return frozenset(self._tree.get(keys) for keys in named)

    @property
    def plugins_dir(self) -> Path | None:
        """The folder of one-file plugins, if the file names one that is there."""
        return plugins_dir(self._tree, self.path.parent)

    def uses(self, section: str) -> dict[str, list[str]]:
        """Return the handlers that ``routes`` or ``alerts`` name, each with the routes that name it."""
        found: dict[str, list[str]] = {}
        for keys in self._named(section, "handler"):
            found.setdefault(self._tree.get(keys), []).append(str(self._tree.get((*keys[:-1], "name"), "")))
        return found

    def check_handlers(self, handlers: Mapping[str, Options]) -> None:
        """Check every route's ``handler`` and its ``options``; what is wrong is added to the problems.

        Args:
            handlers: Those that exist. One that does not is no problem where it is not required.
        """
        self._check("routes", "handler", handlers)

    def check_channels(self, channels: Mapping[str, Options]) -> None:
        """Check every alert's ``handler`` and its ``options``, in the same way."""
        self._check("alerts", "alert channel", channels)

    def check_plugins(self, names: Collection[str]) -> None:
        """Check every plugin that is named itself."""
        for keys in self._named("plugins", "name"):
            if self._tree.get(keys) not in names and self._is_required(keys):
                self._complain_about_name(keys, "the file names", "plugin", names)

    def is_missing(self, handlers: Collection[str], channels: Collection[str]) -> bool:
        """Tell whether something required is not among what exists."""
        named = [(keys, handlers) for keys in self._named("routes", "handler")]
        named += [(keys, channels) for keys in self._named("alerts", "handler")]
        return any(self._tree.get(keys) not in exist and self._is_required(keys) for keys, exist in named)

    def config(self) -> Config:
        """Return the settings.

        Raises:
            ConfigError: There are problems; it carries all of them, in the order of the file.
        """
        if problems := self.problems:
            raise ConfigError(problems)
        return build(self.path, self._tree)

    def _named(self, section: str, key: str) -> Iterator[Keys]:
        for item in items(self._tree, section):
            keys = (*item, key)
            if isinstance(self._tree.get(keys), str):
                yield keys

    def _is_required(self, keys: Keys) -> bool:
        return self._tree.get((*keys[:-1], "required"), True) is not False

    def _check(self, section: str, what: str, exist: Mapping[str, Options]) -> None:
        for keys in self._named(section, "handler"):
            options = exist.get(self._tree.get(keys))
            if options is not None:
                self._check_options(keys, options)
            elif self._is_required(keys):
                self._complain_about_name(keys, f"{self._namer(keys)} names", what, exist)

    def _complain_about_name(self, keys: Keys, names: str, what: str, exist: Collection[str]) -> None:
        known = f"installed {what}s are {', '.join(sorted(exist))}" if exist else f"no {what} is installed"
        hint = suggestion(self._tree.get(keys), exist).replace(", did", "; did")
        message = f"{names} {what} {self._tree.shown(keys)}; {known}{hint}"
        self._tree.complain(self._tree.place(keys), message)

    def _namer(self, keys: Keys) -> str:
        """Return who names the handler; an alert has no other name than its channel's."""
        return "an alert" if keys[0] == "alerts" else label(self._tree, keys[:-1]).removesuffix(": ")

    def _check_options(self, named: Keys, options: Options) -> None:
        keys = (*named[:-1], "options")
        before = len(self._tree.complaints)
        if options.schema is not None:
            try:
                check_options(self._tree, keys, options.schema, lambda at: label(self._tree, at))
            except ValueError:
                what = (
                    f"handler {self._tree.shown(named)} has registered options that are no valid JSON Schema"
                )
                self._tree.complain(self._tree.place(named), what)
        if len(self._tree.complaints) == before and not self._tree.is_broken(keys):
            self._check_together(keys, options)

    def _check_together(self, keys: Keys, options: Options) -> None:
        try:
            options.make(self._tree.get(keys, {}))
        except ValueError as error:
            at = (*keys, *_way(str(error)))
            self._tree.complain(self._tree.place(at), f"{label(self._tree, at)}{error.__cause__ or error}")


def _way(message: str) -> Iterator[str | int]:
    """Yield the keys that lead to what msgspec complains of: ``… - at `$.rules[2].reply` ``."""
    found = re.search(r" - at `\$(.*)`$", message)
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", found[1].partition("[...]")[0] if found else ""):
        yield name or int(index)
