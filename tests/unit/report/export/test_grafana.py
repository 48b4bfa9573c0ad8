"""The dashboard asks only for what is exported, and fits Grafana's grid."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from equivcheck.report.export.grafana import PANELS, WIDTH, dashboard
from tests.unit.report.export.make import text_of, timed_run

NAME = re.compile(r"equivcheck_\w+")
LABELS = re.compile(r"(\w+)(?:=~|!=|=)\"")


def emitted() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text_of(timed_run())):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> list[str]:
    return [expression for panel in PANELS for expression in panel.expressions.values()]


def test_every_expression_asks_for_what_is_there() -> None:
    names = emitted()
    for expression in expressions():
        asked = NAME.findall(expression)
        assert asked
        assert {*asked} <= names.keys(), expression
        labels = set().union(*(names[name] for name in asked))
        assert {*LABELS.findall(expression)} <= labels, expression


def test_every_family_of_both_arms_is_looked_at() -> None:
    shown = {name for expression in expressions() for name in NAME.findall(expression)}
    left = {"prompt_tokens_total", "request_success_total"}
    for name in emitted():
        bare = re.sub(r"_(bucket|sum|count)$", "", name)
        assert bare.removeprefix("equivcheck_") in left or any(
            each.startswith(bare) for each in shown
        )


def test_a_comparison_of_times_is_shown_only_where_the_arms_are_equivalent() -> None:
    (panel,) = [panel for panel in PANELS if "after / before" in panel.title]
    (expression,) = panel.expressions.values()
    assert expression.endswith('and on () equivcheck_run_outcome{outcome="pass"} == 1')


@pytest.fixture
def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dashboard()["panels"]
    return found


def test_panels_do_not_overlap(panels: list[dict[str, Any]]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < WIDTH
        taken |= cells


def test_panels_have_their_own_ids_and_the_chosen_source(panels: list[dict[str, Any]]) -> None:
    assert len({panel["id"] for panel in panels}) == len(PANELS)
    variables = {variable["name"] for variable in dashboard()["templating"]["list"]}
    for panel in panels:
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert {*re.findall(r"\$(\w+)", target["expr"])} <= variables
