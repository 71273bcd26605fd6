from __future__ import annotations

import pytest

from router.errors import NotMade
from router.scaffold import check_name


@pytest.mark.parametrize("name", ["tasks", "order-desk", "a", "x2", "shop-24-7", "a" * 40])
def test_a_name_is_small_letters_digits_and_hyphens(name: str) -> None:
    check_name(name, {"check"}, {"archive"})


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("OrderDesk", "order-desk"),
        ("order_desk", "order-desk"),
        ("Order Desk!", "order-desk"),
        ("order--desk", "order-desk"),
        ("-tasks-", "tasks"),
        ("2fast", "fast"),
        ("router-tasks", "tasks"),
        ("router_tasks", "tasks"),
        ("green-event-router-tasks", "tasks"),
        ("a" * 41, "a" * 40),
        ("../tasks", "tasks"),
        ("", "order-desk"),
        ("99", "order-desk"),
        ("заказы", "order-desk"),
        ("\udcff", "order-desk"),
    ],
)
def test_any_other_is_refused_with_one_that_would_do(name: str, suggestion: str) -> None:
    with pytest.raises(NotMade) as caught:
        check_name(name, (), ())
    assert str(caught.value) == (
        f"a plugin cannot be named {name!r}: expected up to 40 small letters, digits and hyphens "
        f"that begin with a letter and not with 'router-', such as {suggestion!r}"
    )
    check_name(suggestion, (), ())


def test_the_name_of_a_command_is_refused() -> None:
    with pytest.raises(NotMade) as caught:
        check_name("check", {"check"}, ())
    assert str(caught.value) == (
        "a plugin cannot be named 'check': 'router check' is a command of the router's own; "
        "expected another name, such as 'my-check'"
    )


def test_the_name_of_another_plugin_is_refused() -> None:
    with pytest.raises(NotMade) as caught:
        check_name("archive", (), {"archive"})
    assert str(caught.value) == "there is a plugin named 'archive' already: see 'router plugins archive'"
