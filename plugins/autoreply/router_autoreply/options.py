"""What ``routes.yaml`` may say under ``options``, checked at the start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from router import Duration
from router_autoreply import hours, patterns, templates
from router_autoreply.patterns import Find
from router_autoreply.said import FIELDS

#: Names that every template may use.
EVENT_NAMES = tuple(f"event.{name}" for name in FIELDS)

_Template = Annotated[
    str,
    Meta(min_length=1, description="Text; {event.sender_name|there} is a field of the event, or else there."),
]
_Words = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]
_Pattern = Annotated[str, Meta(max_length=1000)]
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_MenuName = Annotated[str | None, Meta(description="Menu that is shown.")]
_Quote = Annotated[bool | None, Meta(description="Whether replies quote the message; as above if left out.")]
_Cooldown = Annotated[
    Duration | None, Meta(description="How long it is not used again in a chat; as above if left out.")
]


@dataclass(frozen=True, slots=True)
class Rule:
    """What is listened for, by one of ``keywords``, ``regex`` and ``command``, and what is answered."""

    keywords: Annotated[
        _Words | None, Meta(description="Any of these, as whole words, whatever their case.")
    ] = None
    regex: Annotated[
        _Pattern | None, Meta(description="Searched for, in RE2's syntax; {match.NAME} is a group.")
    ] = None
    command: Annotated[str | None, Meta(description="First word of the message, such as /order.")] = None
    aliases: Annotated[tuple[str, ...], Meta(description="Other words for the command.")] = ()
    arguments: Annotated[
        tuple[_Name, ...],
        Meta(description="Names for the words behind the command, the last one for all that is left."),
    ] = ()
    reply: _Template | None = None
    menu: _MenuName = None
    quote: _Quote = None
    cooldown: _Cooldown = None

    def __post_init__(self) -> None:
        _one_of("a rule", keywords=self.keywords, regex=self.regex, command=self.command)
        listens_for = self.command or self.regex or ", ".join(self.keywords or ())
        try:
            self._check()
        except ValueError as exc:
            raise ValueError(f"rule {listens_for}: {exc}") from None

    def _check(self) -> None:
        if self.command is None and (self.aliases or self.arguments):
            raise ValueError("aliases and arguments are for a rule with command")
        _one_of("a rule", reply=self.reply, menu=self.menu)
        _check_template("reply", self.reply, self.listen()[1])

    def listen(self) -> tuple[Find, tuple[str, ...]]:
        """Return what finds it in a text, and the names that its reply may use."""
        if self.keywords is not None:
            return patterns.keywords(self.keywords), EVENT_NAMES
        if self.regex is not None:
            find, groups = patterns.regex(self.regex)
            return find, (*EVENT_NAMES, *(f"match.{name}" for name in groups))
        assert self.command is not None, "a rule has one of the three"
        find = patterns.command((self.command, *self.aliases), self.arguments)
        return find, (*EVENT_NAMES, *(f"argument.{name}" for name in self.arguments))


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a menu: it answers, or leads to another menu."""

    name: Annotated[str, Meta(min_length=1, description="What is shown behind its number.")]
    reply: _Template | None = None
    menu: _MenuName = None

    def __post_init__(self) -> None:
        _one_of(f"choice {self.name!r}", reply=self.reply, menu=self.menu)
        _check_template("reply", self.reply)


@dataclass(frozen=True, slots=True)
class Menu:
    """A text, and the numbered choices below it."""

    text: _Template
    choices: Annotated[tuple[Choice, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        _check_template("text", self.text)


@dataclass(frozen=True, slots=True)
class Dialog:
    """How menus talk."""

    timeout: Annotated[Duration, Meta(description="A menu that nobody answers for so long is closed.")] = (
        Duration("15m")
    )
    reminder: Annotated[
        str, Meta(min_length=1, description="Template; sent above the choices for an answer that is none.")
    ] = "Please answer with one of the numbers."
    back: Annotated[str, Meta(min_length=1, description="Choice 0 of a submenu.")] = "Back"

    def __post_init__(self) -> None:
        _check_template("reminder", self.reminder)
        _check_above_zero("timeout", self.timeout)


@dataclass(frozen=True, slots=True)
class Hours:
    """When rules, menus and the default reply are in use; at other times there is another reply, or none."""

    zone: Annotated[str, Meta(description="IANA time zone, such as Europe/Berlin.")]
    open: Annotated[
        dict[str, tuple[str, ...]],
        Meta(description="Intervals such as 09:00-18:00 or 22:00-02:00, by day: mon, or mon-fri."),
    ]
    holidays: Annotated[tuple[str, ...], Meta(description="Days, such as 2027-01-01.")] = ()
    reply: _Template | None = None
    quote: _Quote = None
    cooldown: _Cooldown = None

    def __post_init__(self) -> None:
        self.week()
        _check_template("reply", self.reply)

    def week(self) -> hours.Week:
        """Return the hours."""
        return hours.Week.parse(self.zone, self.open, self.holidays)


@dataclass(frozen=True, slots=True)
class Options:
    """What is answered. A short form is ``{reply: "Got it, {event.sender_name}"}``."""

    reply: _Template | None = None
    menu: _MenuName = None
    quote: Annotated[bool, Meta(description="Whether replies quote the message.")] = False
    cooldown: Annotated[
        Duration, Meta(description="How long a rule, or the default, is not used again in a chat.")
    ] = Duration(0)
    groups: Annotated[bool, Meta(description="Whether messages in groups are answered.")] = False
    rules: Annotated[tuple[Rule, ...], Meta(description="The first that fits is used.")] = ()
    menus: Annotated[dict[str, Menu], Meta(description="By the name that rules and choices use.")] = field(
        default_factory=dict
    )
    dialog: Dialog = field(default_factory=Dialog)
    hours: Hours | None = None

    def __post_init__(self) -> None:
        if self.reply is not None and self.menu is not None:
            raise ValueError("expected one of reply, menu; found both")
        if not (self.reply or self.menu or self.rules or (self.hours and self.hours.reply)):
            raise ValueError("nothing to answer with; expected reply, menu or rules")
        _check_template("reply", self.reply)
        _check_menus(self)


def _check_menus(options: Options) -> None:
    """Hold the names of menus against those that there are."""
    for named in _named(options):
        if named not in options.menus:
            known = f"menus has {', '.join(options.menus)}" if options.menus else "there are no menus"
            raise ValueError(f"there is no menu {named!r}; {known}")


def _named(options: Options) -> Iterable[str]:
    choices = (choice for menu in options.menus.values() for choice in menu.choices)
    found = (options.menu, *(rule.menu for rule in options.rules), *(choice.menu for choice in choices))
    return (name for name in found if name is not None)


def _one_of(what: str, **given: object) -> None:
    found = [name for name, value in given.items() if value is not None]
    if len(found) != 1:
        raise ValueError(f"{what} has one of {', '.join(given)}; found {' and '.join(found) or 'none'}")


def _check_template(key: str, text: str | None, names: tuple[str, ...] = EVENT_NAMES) -> None:
    try:
        templates.parse(text or "", names)
    except ValueError as exc:
        raise ValueError(f"{key}: {exc}") from None


def _check_above_zero(key: str, duration: Duration) -> None:
    if duration <= 0:
        raise ValueError(f"{key}: expected more than 0s")
