"""``equivcheck pairs``: which pairs of models have a name, and what one pair is."""

from __future__ import annotations

from typing import Any

import click

from equivcheck.cli.output import Output, json_option


@click.command("pairs")
@click.argument("name", required=False)
@json_option
def command(*, name: str | None, as_json: bool) -> int:
    """List the known pairs, or describe one: NAME, TARGET or TARGET+DRAFT.

    TARGET and DRAFT may be folders, hub ids or GGUF files. NAME@SHAPE+SHAPE, as in tiny@8b+0.15b,
    is a known pair's target and draft at the cost of larger models, with the same law; NAME:3bit
    is a known target with rounded weights, a draft that is often right. Describing a pair fetches
    what is not on this machine yet.
    """
    output = Output(as_json=as_json)
    if name is not None:
        from equivcheck.pairs.describe import describe_pair

        described = describe_pair(name)
        output.say_lines(_lines(described))
        output.document(described)
        return 0
    from equivcheck.pairs.sources import known_pairs

    known = known_pairs()
    output.say("\n".join(f"{pair}  {source.description}" for pair, source in known.items()))
    output.document({pair: source.description for pair, source in known.items()})
    return 0


def _lines(described: dict[str, Any], *, indent: str = "") -> list[str]:
    """Nested facts as indented lines; text from model files is escaped."""
    from equivcheck.core.escape import head

    lines = []
    for name, value in described.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_lines(value, indent=indent + "  ")]
        elif value not in (None, "", [], ()):
            words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            lines.append(f"{indent}{name}: {head(words, cells=160)}")
    return lines
