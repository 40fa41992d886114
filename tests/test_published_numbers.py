"""The checks of published numbers, and the table that they end in."""

from types import SimpleNamespace

import pytest

from tests.published_numbers import MARK, Number, check, table


def number(ours, *, agrees=True):
    return Number(
        quantity="limit", published=3.17, ours=ours, tolerance=0.005, source="paper", agrees=agrees
    )


def noted(*numbers):
    report = SimpleNamespace(user_properties=[("other", 1)])
    for one in numbers:
        try:
            check(one, report.user_properties)
        except AssertionError:
            continue
    return [report]


def test_numbers_within_the_tolerance_pass_and_others_fail():
    check(number(3.1749), [])
    with pytest.raises(AssertionError, match=r"limit: published 3\.17, ours 3\.176, tol"):
        check(number(3.176), [])
    with pytest.raises(AssertionError, match="ours nan"):
        check(number(float("nan")), [])


def test_a_known_difference_must_be_there():
    check(number(3.3, agrees=False), [])
    with pytest.raises(AssertionError):
        check(number(3.17, agrees=False), [])


def test_the_table_has_every_number_that_was_checked():
    lines = table(noted(number(3.171), number(3.3, agrees=False), number(9.0)))
    assert lines[0].split() == ["quantity", "published", "ours", "tolerance", "agree", "source"]
    assert [line.split()[1:3] for line in lines[1:4]] == [
        ["3.17", "3.171"], ["3.17", "3.3"], ["3.17", "9"],
    ]  # fmt: skip
    assert lines[4] == "3 published numbers. Do they agree? 1 yes, 1 no, known, 1 FAILED"
    assert table([SimpleNamespace(user_properties=[])]) == []


def test_tests_that_check_a_number_are_marked(request, check_number):
    check_number("one", published=1, ours=1.0, tolerance=0, source="arithmetic")
    assert request.node.get_closest_marker(MARK)
    assert [name for name, _ in request.node.user_properties] == [MARK]
    request.node.user_properties.clear()  # not a published number
