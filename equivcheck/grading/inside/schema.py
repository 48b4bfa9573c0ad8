"""Grades a text as JSON, under a schema where there is one.

`jsonschema` is looked for only then. References to other documents are refused, not fetched.
"""

from __future__ import annotations

import json
from typing import Any


def load() -> None:
    """Import what validates, while files can still be read as the user that installed it.

    Raises:
        ImportError: `jsonschema` is not installed.
    """
    import jsonschema.validators  # noqa: F401
    import referencing  # noqa: F401


def judge(job: dict[str, Any]) -> tuple[bool, str]:
    """Parse the text strictly (no NaN, no key twice) and validate it.

    Raises:
        ValueError: the schema is none, or refers to what is not in it.
    """
    schema = job.get("schema")
    # Before the text, so that a broken schema is not taken for a wrong answer.
    validator = None if schema is None else _validator(schema)
    try:
        document = json.loads(job["text"], parse_constant=_refuse, object_pairs_hook=_no_key_twice)
    except (ValueError, RecursionError) as error:
        return False, f"is no JSON: {error}"
    return (True, "is JSON") if validator is None else _validate(document, validator=validator)


def _validator(schema: dict[str, Any]) -> Any:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as broken:
        raise ValueError(f"schema: {broken.json_path}: {broken.message}") from None
    return kind(schema, registry=Registry())


def _validate(document: Any, *, validator: Any) -> tuple[bool, str]:
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        error = best_match(validator.iter_errors(document))
    except Unresolvable as broken:
        raise ValueError(f"schema: {broken}") from None
    except RecursionError:
        return False, "is nested too deeply to be validated"
    if error is None:
        return True, "is valid under the schema"
    return False, f"is not valid: {error.json_path}: {error.message}"


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return record
