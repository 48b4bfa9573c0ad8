"""JSON Schemas of what users write and read, from the types: suites, settings, records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def of_suites() -> dict[str, Any]:
    """Schema of one line of a suite: the header or a case."""
    from equivcheck.core.cases import Case
    from equivcheck.core.load_suites import SuiteHeader

    schema = _schema(SuiteHeader, Case, title="A line of an equivcheck suite")
    case = schema["$defs"]["Case"]
    case["oneOf"] = [{"required": [name]} for name in ("prompt", "messages", "token_ids")]
    return schema


def of_settings() -> dict[str, Any]:
    """Schema of ``equivcheck.toml``. TOML has no null: what may be absent may be the text
    ``none``."""
    from equivcheck.core.settings import Settings

    schema: dict[str, Any] = _without_null(_schema(Settings, title="equivcheck.toml"))
    return schema


def of_records() -> dict[str, Any]:
    """Schema of one line of ``records.jsonl``."""
    from equivcheck.records.records import Record

    return _schema(Record, title="A line of equivcheck's records.jsonl")


def of_measurements() -> dict[str, Any]:
    """Schema of one line of a measurement."""
    from equivcheck.metrics.records import BenchRecord

    return _schema(BenchRecord, title="A line of an equivcheck measurement")


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "suite": of_suites,
    "settings": of_settings,
    "records": of_records,
    "measurement": of_measurements,
}


def _schema(*shapes: Any, title: str) -> dict[str, Any]:
    """Schema of what is one of several shapes."""
    import msgspec

    of_each, parts = msgspec.json.schema_components(shapes, ref_template="#/$defs/{name}")
    any_of = of_each[0] if len(of_each) == 1 else {"anyOf": list(of_each)}
    return {"$schema": DIALECT, "title": title, **any_of, "$defs": parts}


def _without_null(node: Any) -> Any:
    if isinstance(node, dict):
        if node == {"type": "null"}:
            return {"const": "none"}
        kept = {name: _without_null(value) for name, value in node.items()}
        if "default" in kept and kept["default"] is None:
            kept["default"] = "none"
        return kept
    return [_without_null(each) for each in node] if isinstance(node, list) else node
