"""Menus: where a person is in them, and where an answer leads."""

from __future__ import annotations

from dataclasses import dataclass

from router_autoreply.options import Dialog, Menu, Options
from router_autoreply.templates import Template, parse
from router_autoreply.texts import folded

#: Names of the open menus, the one that is shown last; empty: none is open.
Path = tuple[str, ...]

#: What people write around a number: "1.", "2)", "(3)", and the parts of the emoji that shows a digit.
_AROUND = " .,!()#\u20e3\ufe0f"


@dataclass(frozen=True, slots=True)
class Move:
    """What an answer leads to."""

    text: Template
    path: Path


class Menus:
    """All menus of a route.

    Args:
        options: Their names were checked.
        names: Names that templates may have.
    """

    def __init__(self, options: Options, names: tuple[str, ...]) -> None:
        self._back = _answers(0, options.dialog.back)
        self._reminder = parse(options.dialog.reminder, names)
        self._menus = {name: _Menu(menu, options.dialog, names) for name, menu in options.menus.items()}

    def opened(self, name: str, path: Path = ()) -> Move:
        """Show a menu, one step further; a menu that is on the way already ends the way there."""
        path = (*path[: path.index(name)], name) if name in path else (*path, name)
        return Move(self._menus[name].shown(is_sub=len(path) > 1), path)

    def answered(self, path: Path, text: str) -> Move | None:
        """Return where an answer leads, or ``None`` if it is none of the choices.

        Args:
            path: With the menu that is shown.
            text: The answer, folded.
        """
        answer = _plain(text)
        if len(path) > 1 and answer in self._back:
            return self.opened(path[-2], path[:-1])
        choice = self._menus[path[-1]].choices.get(answer)
        if choice is None:
            return None
        return self.opened(choice.menu, path) if choice.menu else Move(choice.reply, ())

    def reminded(self, path: Path) -> Move:
        """Show the choices once more."""
        choices = self._menus[path[-1]].listed(is_sub=len(path) > 1)
        return Move(Template((*self._reminder.parts, choices)), path)

    def known(self, path: Path) -> Path:
        """Return a path that was remembered; an empty one where its menus are gone."""
        return path if all(name in self._menus for name in path) else ()


@dataclass(frozen=True, slots=True)
class _Choice:
    reply: Template
    menu: str | None


class _Menu:
    def __init__(self, menu: Menu, dialog: Dialog, names: tuple[str, ...]) -> None:
        self._text = parse(menu.text, names)
        self._lines = [f"{number}. {choice.name}" for number, choice in enumerate(menu.choices, 1)]
        self._back = f"0. {dialog.back}"
        choices = [_Choice(parse(choice.reply or "", names), choice.menu) for choice in menu.choices]
        numbered = [*enumerate(zip(menu.choices, choices, strict=True), 1)]
        by_name = {name: made for n, (each, made) in reversed(numbered) for name in _answers(n, each.name)}
        self.choices = {**by_name, **{str(n): made for n, (_, made) in numbered}}

    def shown(self, *, is_sub: bool) -> Template:
        return Template((*self._text.parts, self.listed(is_sub=is_sub)))

    def listed(self, *, is_sub: bool) -> str:
        return "\n\n" + "\n".join([*self._lines, self._back] if is_sub else self._lines)


def _answers(number: int, name: str) -> set[str]:
    """Return the ways to pick a choice: its number, its name, and its line as it is shown."""
    return {str(number), _plain(folded(name)), _plain(folded(f"{number}. {name}"))}


def _plain(text: str) -> str:
    return " ".join(text.split()).strip(_AROUND)
