"""``equivcheck pairs``: which pairs of models have a name, what one pair is, and one exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equivcheck.cli.output import Output, json_option

if TYPE_CHECKING:
    from equivcheck.pairs.export import Layout
    from equivcheck.pairs.export_gguf import Precision

HELP = ("-h", "--help")


class Pairs(click.Group):
    """A group whose verb may be left out: then a pair is shown."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the verb in front where there is none."""
        if not args or (args[0] not in self.commands and args[0] not in HELP):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group("pairs", cls=Pairs)
def command() -> None:
    """List the known pairs, describe one (NAME, TARGET or TARGET+DRAFT), or export one.

    `equivcheck pairs NAME` is short for `equivcheck pairs show NAME`. Each verb takes --json.
    """


@command.command("show")
@click.argument("name", required=False)
@click.option(
    "--gguf",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write the pair's models to FOLDER as target.gguf and draft.gguf.",
)
@click.option(
    "--gguf-precision",
    "precision",
    type=click.Choice(["f32", "f16", "bf16"]),
    default="f32",
    show_default=True,
    help="Of the matrices in those files.",
)
@json_option
def show(*, name: str | None, gguf: Path | None, precision: Precision, as_json: bool) -> int:
    """List the known pairs, or describe one: NAME, TARGET or TARGET+DRAFT.

    TARGET and DRAFT may be folders, hub ids or GGUF files. NAME@SHAPE+SHAPE, as in tiny@8b+0.15b,
    is a known pair's target and draft at the cost of larger models, with the same distribution;
    NAME:3bit is a known target with rounded weights, a draft that is often right. Describing a pair
    fetches what is not on this machine yet.
    """
    output = Output(as_json=as_json)
    if gguf is not None:
        if name is None:
            raise click.UsageError("--gguf needs the name of a pair")
        from equivcheck.pairs.export_gguf import export_gguf

        _say_written(output, export_gguf(name, gguf, precision=precision))
        return 0
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


@command.command("export")
@click.argument("name")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    required=True,
    help="An empty folder, or one that is made.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["hf", "vllm", "sglang", "gguf"]),
    required=True,
    help="Whose: transformers, vLLM, SGLang, or llama.cpp.",
)
@json_option
def export(*, name: str, folder: Path, layout: Layout, as_json: bool) -> int:
    """Write the pair NAME with its heads to DIR, as an engine loads it, with a README.

    For an engine's own tests: the bundled pair tiny-v2 has a target, a draft model, an EAGLE-3 head
    and an MTP head in a few megabytes.
    """
    from equivcheck.pairs.export import export_pair

    _say_written(Output(as_json=as_json), export_pair(name, folder, layout=layout))
    return 0


def _say_written(output: Output, written: dict[str, Path]) -> None:
    output.say("\n".join(f"wrote {path}" for path in written.values()))
    output.document({role: str(path) for role, path in written.items()})


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
