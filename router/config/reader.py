"""``routes.yaml`` → `Document` → `Config`; between the two the plugins are loaded that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

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
        root = _root(_text(path))
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
        """The handlers that routes and alerts name, also where other things are wrong with them."""
        return frozenset(self._tree.get(keys) for keys in self._handlers())

    @property
    def plugins_dir(self) -> Path | None:
        """The folder of one-file plugins, if the file names one that is there."""
        return plugins_dir(self._tree, self.path.parent)

    def check_handlers(self, handlers: Mapping[str, JsonObject | None]) -> None:
        """Check every ``handler`` and its ``options``; what is wrong is added to the problems.

        Args:
            handlers: Those that exist, each with the JSON Schema of its options; ``None`` takes any.
        """
        for keys in self._handlers():
            name = self._tree.get(keys)
            if name not in handlers:
                self._complain_about_handler(keys, handlers)
            elif (schema := handlers[name]) is not None:
                self._check_options(keys, schema)

    def config(self) -> Config:
        """Return the settings.

        Raises:
            ConfigError: There are problems; it carries all of them, in the order of the file.
        """
        if problems := self.problems:
            raise ConfigError(problems)
        return build(self.path, self._tree)

    def _handlers(self) -> Iterator[Keys]:
        for section in ("routes", "alerts"):
            for item in items(self._tree, section):
                keys = (*item, "handler")
                if isinstance(self._tree.get(keys), str):
                    yield keys

    def _complain_about_handler(self, keys: Keys, handlers: Mapping[str, JsonObject | None]) -> None:
        known = (
            f"installed handlers are {', '.join(sorted(handlers))}" if handlers else "no handler is installed"
        )
        hint = suggestion(self._tree.get(keys), handlers).replace(", did", "; did")
        message = f"{self._namer(keys)} names handler {self._tree.shown(keys)}; {known}{hint}"
        self._tree.complain(self._tree.place(keys), message)

    def _namer(self, keys: Keys) -> str:
        """Return who names the handler; an alert has no other name than the handler's."""
        return "an alert" if keys[0] == "alerts" else label(self._tree, keys[:-1]).removesuffix(": ")

    def _check_options(self, keys: Keys, schema: JsonObject) -> None:
        options = (*keys[:-1], "options")
        try:
            check_options(self._tree, options, schema, lambda at: label(self._tree, at))
        except ValueError:
            message = f"handler {self._tree.shown(keys)} has registered options that are no valid JSON Schema"
            self._tree.complain(self._tree.place(keys), message)
