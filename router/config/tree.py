"""Nodes → plain data that remembers, for each value, where it stood and how it was written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from router.config.interpolation import Filled, Sources
from router.config.yaml12 import ListNode, MappingNode, Node, Place, Scalar, ScalarNode, resolve

#: Keys and indices that lead to a value.
Keys = tuple[str | int, ...]


class Complaint(NamedTuple):
    """A problem at a place, before it is told which file it is in."""

    place: Place
    message: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A scalar that was interpolated."""

    #: The scalar as the file has it: the only form that a message may show.
    written: str
    #: Its text after interpolation, before its type was guessed.
    text: str = field(repr=False)
    from_environment: tuple[str, ...] = field(repr=False)
    from_files: tuple[str, ...] = field(repr=False)


@dataclass(slots=True)
class Tree:
    """The data of a file. What could not be read is listed in ``broken`` and stands as ``None``."""

    data: Any = field(default=None, repr=False)
    #: In the order they were found; a dict, because an alias shows the same one under several keys.
    complaints: dict[Complaint, None] = field(default_factory=dict)
    values: dict[Keys, Place] = field(default_factory=dict)
    keys: dict[Keys, Place] = field(default_factory=dict)
    references: dict[Keys, Reference] = field(default_factory=dict)
    #: Values that have a complaint already and must not earn a second one.
    broken: set[Keys] = field(default_factory=set)

    def complain(self, place: Place, message: str) -> None:
        """Note a problem, once and in one line, whatever characters its keys are made of."""
        line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in message)
        self.complaints[Complaint(place, line)] = None

    def place(self, keys: Keys) -> Place:
        """Return where the value stands, or the nearest value around it."""
        while keys not in self.values:
            keys = keys[:-1]
        return self.values[keys]

    def key_place(self, keys: Keys) -> Place:
        """Return where the key of the value stands; for an item of a list, the item."""
        return self.keys.get(keys) or self.place(keys)

    def get(self, keys: Keys, default: Any = None) -> Any:
        """Return the value, or ``default`` where there is none or it is of no use."""
        value = None if self.is_broken(keys) else self.raw(keys)
        return default if value is None else value

    def raw(self, keys: Keys) -> Any:
        """Return the value, even one that is of no use; ``None`` where there is none."""
        value = self.data
        for key in keys:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def put(self, keys: Keys, value: Any) -> None:
        """Replace a value that is there."""
        *way, last = keys
        holder = self.data
        for key in way:
            holder = holder[key]
        holder[last] = value

    def is_broken(self, keys: Keys) -> bool:
        """Tell whether the value, or one that it is a part of, is of no use."""
        return any(keys[:length] in self.broken for length in range(len(keys) + 1))

    def has_broken(self, keys: Keys) -> bool:
        """Tell whether the value, or a part of it, is of no use."""
        return any(broken[: len(keys)] == keys for broken in self.broken)

    def shown(self, keys: Keys) -> str:
        """Return a scalar as a message may show it: in quotes, and never what a reference stood for."""
        reference = self.references.get(keys)
        value = reference.written if reference else self.raw(keys)
        if isinstance(value, bool):
            return "true" if value else "false"
        shown = repr(value)
        return shown if len(shown) <= 80 else f"{shown[:77]}…{shown[-1]}"


def grow(root: Node, sources: Sources) -> Tree:
    """Turn nodes into data, with references filled in and each odd thing noted as a problem."""
    tree = Tree()
    tree.data = _value(root, (), tree, sources)
    return tree


def _value(node: Node, keys: Keys, tree: Tree, sources: Sources) -> Any:
    tree.values[keys] = node.place
    if node.problem is not None:
        _break(node, keys, tree, [node.problem])
        return None
    if isinstance(node, ScalarNode):
        return _scalar(node, keys, tree, sources)
    if isinstance(node, ListNode):
        return [_value(item, (*keys, index), tree, sources) for index, item in enumerate(node.items)]
    assert isinstance(node, MappingNode)
    return _mapping(node, keys, tree, sources)


def _break(node: Node, keys: Keys, tree: Tree, messages: Iterable[str]) -> None:
    for message in messages:
        tree.complain(node.place, message)
    tree.broken.add(keys)


def _scalar(node: ScalarNode, keys: Keys, tree: Tree, sources: Sources) -> Scalar:
    if "${" not in node.text:
        return _resolved(node, node.text, repr(node.text), keys, tree)
    filled = sources.fill(node.text)
    if filled.problems:
        _break(node, keys, tree, filled.problems)
        return None
    if filled.text != node.text:
        tree.references[keys] = _reference(node, filled)
    value = _resolved(node, filled.text, repr(node.text), keys, tree)
    if value is None and not tree.is_broken(keys):
        return filled.text  # never "no value": an empty variable must not turn the check of a token off
    return value


def _reference(node: ScalarNode, filled: Filled) -> Reference:
    return Reference(
        written=node.text,
        text=filled.text,
        from_environment=tuple(filled.from_environment),
        from_files=tuple(filled.from_files),
    )


def _resolved(node: ScalarNode, text: str, shown: str, keys: Keys, tree: Tree) -> Scalar:
    if not node.plain:
        return text
    try:
        return resolve(text)
    except ValueError:
        shown = shown if len(shown) <= 40 else "this number"
        _break(node, keys, tree, [f"{shown} is out of range: expected a finite number; text needs quotes"])
        return None


def _mapping(node: MappingNode, keys: Keys, tree: Tree, sources: Sources) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in node.items:
        name = _key(key, tree)
        if name is None:
            continue
        if name in mapping:
            first = tree.keys[(*keys, name)]
            tree.complain(key.place, f"duplicate key {name!r}: it is already at line {first.line}")
            continue
        tree.keys[(*keys, name)] = key.place
        mapping[name] = _value(value, (*keys, name), tree, sources)
    return mapping


def _key(node: Node, tree: Tree) -> str | None:
    """Return the text of a key, or ``None`` after a complaint."""
    if node.problem is not None:
        tree.complain(node.place, node.problem)
        return None
    if not isinstance(node, ScalarNode):
        tree.complain(node.place, "a list or a mapping as a key: expected text")
        return None
    if node.plain and node.text == "<<":
        message = "merge keys (<<) are not part of YAML 1.2: alias a whole value instead, or repeat its keys"
        tree.complain(node.place, message)
        return None
    try:
        is_text = not node.plain or isinstance(resolve(node.text), str)
    except ValueError:
        is_text = False
    if not is_text:
        tree.complain(
            node.place, f"the key {node.text or 'null'} is not text: expected a name; put it in quotes"
        )
        return None
    return node.text
