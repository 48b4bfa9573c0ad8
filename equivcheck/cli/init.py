"""``equivcheck init``: settings, a suite of one's own and a workflow, and the next command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from equivcheck.cli.output import Output, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKFLOW = Path(".github/workflows/equivcheck.yml")
GITLAB = Path(".gitlab-ci.equivcheck.yml")
_SETTINGS = """\
# What equivcheck runs against what. `equivcheck suite schema --of settings` prints the JSON Schema
# of this file, with all that can be set.
target = {target}
candidate = {candidate}
"""
_CONTROL = """\
# Plain decoding once more, one request at a time: what differs there is arithmetic.
control = {control}
"""
_SETUP = """
[setup]
# The model that both have: a hub id, a folder or a GGUF file.
pair = {pair}
dtype = {dtype}
"""
_GITHUB = """\
name: equivcheck
on:
  pull_request:
  push:
    branches: [main]
permissions:
  contents: read
jobs:
  gate:
    runs-on: ubuntu-latest
    timeout-minutes: 60
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - name: Install
        run: python -m pip install {package}
      - name: Gate
        # Exits 0 equivalent, 1 not equivalent, 2 could not run, 3 inconclusive. The report goes to
        # the summary of the step by itself.
        run: equivcheck run
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: equivcheck
          path: reports/latest
"""
_GITLAB = """\
# Include it from .gitlab-ci.yml:  include: {{local: .gitlab-ci.equivcheck.yml}}
equivcheck:
  image: python:3.12-slim
  script:
    - python -m pip install {package}
    - equivcheck run
  artifacts:
    when: always
    paths: [reports/latest]
"""


@click.command("init")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--target", metavar="ENGINE", help="Without speculation: a URL or an engine.")
@click.option("--candidate", metavar="ENGINE", help="With speculation: a URL or an engine.")
@click.option("--pair", metavar="PAIR", help="The model that both have. [tiny]")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="In which both compute. [float32]",
)
@click.option(
    "--ci",
    type=click.Choice(["github", "gitlab", "none"]),
    default="github",
    show_default=True,
    help="Which workflow to write.",
)
@click.option("--force", is_flag=True, help="Replace what is there.")
@json_option
def command(
    *,
    file: Path | None,
    target: str | None,
    candidate: str | None,
    pair: str | None,
    dtype: str | None,
    ci: str,
    force: bool,
    as_json: bool,
) -> int:
    """Write equivcheck.toml, a suite of FILE's prompts, and a workflow for CI; say what is next.

    FILE is what another tool wrote (see: suite from), or a suite. Without it the suites that come
    with equivcheck are run, until the folder suites holds others.
    """
    from equivcheck.core.atomic_write import replace, writing
    from equivcheck.core.load_settings import OWN_FILE, load_settings
    from equivcheck.core.load_suites import load_suite

    if (target is None) != (candidate is None):
        raise click.UsageError("--target and --candidate go together: plain and speculative")
    by_url = target is not None
    texts = {Path(OWN_FILE): settings_text(target, candidate, pair=pair, dtype=dtype)}
    native = "'equivcheck[native]'" if not by_url else "equivcheck"
    if ci != "none":
        template, place = (_GITHUB, WORKFLOW) if ci == "github" else (_GITLAB, GITLAB)
        texts[place] = template.format(package=native)
    suites, told = _suites(file)
    texts |= suites
    refuse_existing(texts, force=force)
    for place, text in texts.items():
        with writing(place.parent):
            place.parent.mkdir(parents=True, exist_ok=True)
        replace(place, text)
    load_settings(Path(OWN_FILE))
    for place in suites:
        load_suite(place)
    output = Output(as_json=as_json)
    output.say_lines([*told, *(f"wrote {place}" for place in texts)])
    command_line = "equivcheck run"
    output.say(f"next: {command_line}")
    output.document({"wrote": [str(place) for place in texts], "next": command_line})
    return 0


def settings_text(
    target: str | None, candidate: str | None, *, pair: str | None, dtype: str | None
) -> str:
    """The settings file: two engines and the model, or the bundled pair where none are named."""
    from equivcheck.core.settings import Settings

    plain = Settings()
    by_url = target is not None and "://" in target
    said = f",dtype={dtype}" if by_url and dtype else ""
    text = _SETTINGS.format(
        target=_quoted(f"{target or plain.target}{said}"),
        candidate=_quoted(f"{candidate or plain.candidate}{said}"),
    )
    if by_url:
        text += _CONTROL.format(control=_quoted(f"{target}{said},batch=1"))
    return text + _SETUP.format(
        pair=_quoted(pair or plain.setup.pair), dtype=_quoted(dtype or plain.setup.dtype)
    )


def _quoted(text: str) -> str:
    """A basic string of TOML, which escapes as JSON does."""
    return json.dumps(text)


def _suites(file: Path | None) -> tuple[dict[Path, str], list[str]]:
    """The suites to write, and what was lost on the way.

    Raises:
        SuiteError: the file is no suite, and none can be made of it.
    """
    if file is None:
        return {}, []
    from equivcheck.cli.suite import told
    from equivcheck.conversion.convert import Wanted, convert
    from equivcheck.core.foreign import is_suite
    from equivcheck.core.load_suites import load_suite

    if is_suite(file):
        place = Path("suites") / file.name
        cases = len(load_suite(file).cases)
        text = file.read_text(encoding="utf-8")
        same = place.exists() and place.samefile(file)
        return ({} if same else {place: text}), [f"{file}: a suite of {cases:,} cases"]
    made = convert(file, Wanted())
    places = {suite.workload: Path("suites") / f"{suite.workload}.jsonl" for suite in made.suites}
    lines = [line for line in told(made, file, places) if not line.startswith("next:")]
    return {places[suite.workload]: suite.text for suite in made.suites}, lines


def refuse_existing(texts: Mapping[Path, str], *, force: bool) -> None:
    """Refuse to replace anything that is there and not the same already.

    Raises:
        SettingsError: names all of it; nothing was written.
    """
    from equivcheck.core.errors import SettingsError

    there = [
        place
        for place, text in texts.items()
        if place.exists() and (place.is_dir() or place.read_text(errors="replace") != text)
    ]
    if there and not force:
        named = ", ".join(map(str, there))
        raise SettingsError(f"{named}: already there; replace with --force, or move it away")
