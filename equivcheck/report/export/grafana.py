"""A Grafana dashboard over the exported metrics: before and after enabling speculation.

Every panel asks for what `prometheus.py` emits; a test holds the expressions to that. Durations are
compared only while the latest run says that the arms are equivalent.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from equivcheck.records.records import CANDIDATE, TARGET

SCHEMA = 39
WIDTH = 24
"""Columns of Grafana's grid."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'workload=~"$workload"'
_SPECULATIVE = f'{{arm="{CANDIDATE}",{_CHOSEN}}}'
_BOTH = f'{{arm=~"{TARGET}|{CANDIDATE}",{_CHOSEN}}}'
_PASSED = 'and on () equivcheck_run_outcome{outcome="pass"} == 1'


class Panel(NamedTuple):
    """One panel."""

    title: str
    kind: str
    expressions: dict[str, str]
    """Legend to PromQL."""
    unit: str = "short"
    width: int = 8
    height: int = 8
    what: str = ""


def _seconds_a_token(arm: str) -> str:
    chosen = f'{{arm="{arm}",{_CHOSEN}}}'
    return (
        f"sum by (workload) (equivcheck_e2e_request_latency_seconds_sum{chosen}) / "
        f"sum by (workload) (equivcheck_generation_tokens_total{chosen})"
    )


def _quantile(share: float, name: str) -> str:
    return f"histogram_quantile({share}, sum by (le, arm) (equivcheck_{name}_bucket{_BOTH}))"


def _latency(title: str, name: str, *, what: str) -> Panel:
    quantiles = {f"{{{{arm}}}} p{share * 100:g}": _quantile(share, name) for share in (0.5, 0.99)}
    return Panel(title, "timeseries", quantiles, unit="s", what=what)


PANELS = (
    Panel("Outcome", "stat", {"{{outcome}}": "equivcheck_run_outcome == 1"}, width=4, height=5),
    Panel(
        "Findings that did not pass",
        "table",
        {"{{check}}": 'equivcheck_findings{outcome!="pass"}'},
        width=8,
        height=5,
    ),
    Panel(
        "Identical answers",
        "bargauge",
        {
            "{{workload}}": f"sum by (workload) (equivcheck_identical_cases{{{_CHOSEN}}}) / "
            f"sum by (workload) (equivcheck_compared_cases{{{_CHOSEN}}})"
        },
        unit="percentunit",
        width=12,
        height=5,
    ),
    Panel(
        "Time a token, after / before",
        "timeseries",
        {
            "{{workload}}": f"({_seconds_a_token(CANDIDATE)}) / ({_seconds_a_token(TARGET)}) "
            f"{_PASSED}"
        },
        what="Below 1, speculation pays. Of answers taken in turns, not of a server under load.",
    ),
    Panel(
        "Acceptance rate",
        "timeseries",
        {
            "{{workload}}": "sum by (workload) "
            f"(equivcheck_spec_decode_num_accepted_tokens_total{_SPECULATIVE}) / "
            f"sum by (workload) (equivcheck_spec_decode_num_draft_tokens_total{_SPECULATIVE})"
        },
        unit="percentunit",
        what="Accepted draft tokens divided by draft tokens.",
    ),
    Panel(
        "Tokens a verify step",
        "timeseries",
        {
            "{{workload}}": "1 + sum by (workload) "
            f"(equivcheck_spec_decode_num_accepted_tokens_total{_SPECULATIVE}) / "
            f"sum by (workload) (equivcheck_spec_decode_num_drafts_total{_SPECULATIVE})"
        },
        what="The target's own token included; 1 is plain decoding.",
    ),
    Panel(
        "Acceptance by position",
        "bargauge",
        {
            "{{position}}": "sum by (position) "
            f"(equivcheck_spec_decode_num_accepted_tokens_per_pos_total{_SPECULATIVE}) / "
            "ignoring (position) group_left () "
            f"sum (equivcheck_spec_decode_num_drafts_total{_SPECULATIVE})"
        },
        unit="percentunit",
    ),
    _latency(
        "Between two emissions",
        "inter_token_latency_seconds",
        what="A verify step brings several tokens at once, so it may be longer and still pay.",
    ),
    _latency("Time to first token", "time_to_first_token_seconds", what="Reading the prompt."),
    _latency("Whole request", "e2e_request_latency_seconds", what="From prompt to last token."),
    Panel(
        "Right answers",
        "timeseries",
        {
            "{{arm}}": 'sum by (arm) (equivcheck_graded_answers{result="right",'
            f'arm=~"{TARGET}|{CANDIDATE}",{_CHOSEN}}}) / sum by (arm) '
            f"(equivcheck_graded_answers{_BOTH})"
        },
        unit="percentunit",
        what="Of the answers that have a grader.",
    ),
    Panel(
        "Runs",
        "table",
        {"{{run}}": "equivcheck_run_info", "begun": "equivcheck_run_created_timestamp_seconds"},
        height=8,
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it; the data source is asked for there."""
    return {
        "title": "equivcheck: before and after enabling speculation",
        "uid": "equivcheck",
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "tags": ["equivcheck", "speculative decoding"],
        "time": {"from": "now-30d", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), _workload()]},
        "panels": _placed(),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "source"}


def _workload() -> dict[str, Any]:
    return {
        "name": "workload",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(equivcheck_generation_tokens_total, workload)",
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }


def _placed() -> list[dict[str, Any]]:
    placed, x, y, row = [], 0, 0, 0
    for number, panel in enumerate(PANELS, start=1):
        if x + panel.width > WIDTH:
            x, y, row = 0, y + row, 0
        placed.append(_panel(panel, number) | {"gridPos": _place(panel, x, y)})
        x, row = x + panel.width, max(row, panel.height)
    return placed


def _place(panel: Panel, x: int, y: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": panel.width, "h": panel.height}


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    newest = panel.kind != "timeseries"
    return {
        "id": number,
        "title": panel.title,
        "description": panel.what,
        "type": panel.kind,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": newest,
                "range": not newest,
                **({"format": "table"} if panel.kind == "table" else {}),
            }
            for index, (legend, expression) in enumerate(panel.expressions.items())
        ],
    }
