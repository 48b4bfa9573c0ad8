"""``equivcheck bundle``: a failure as one file that repeats it elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from equivcheck.cli.output import Output, json_option, note
from equivcheck.core.exit_codes import COULD_NOT_RUN

if TYPE_CHECKING:
    from equivcheck.records.records import Evidence


@click.command("bundle")
@click.argument("run")
@click.argument("case", required=False)
@click.option("--out", metavar="FILE", help="Where it goes.  [bundle-RUN.zip in this folder]")
@click.option("--yes", is_flag=True, help="Write it with the prompts that are listed without this.")
@click.option("--redact", is_flag=True, help="Leave out prompts and answers; keep their digests.")
@json_option
def command(
    *, run: str, case: str | None, out: str | None, yes: bool, redact: bool, as_json: bool
) -> int:
    """Put a failure of RUN into one zip: a bug report, the evidence, a script that repeats it.

    CASE (workload/id) says which; without it the first that a script can repeat. The script needs
    the engine and not equivcheck, unless the engine is its own, and exits with 1 while the bug is
    there. Prompts are listed first, and written only with --yes. The exit code says whether the
    bundle was written, not what the verdict is.
    """
    from pathlib import Path

    from equivcheck.core.atomic_write import replace
    from equivcheck.core.escape import head
    from equivcheck.pipeline.bundle import bundle, prompts_of
    from equivcheck.records.records_file import read_evidence
    from equivcheck.records.run_folder import find_run

    output = Output(as_json=as_json)
    evidence = read_evidence(find_run(run))
    made = bundle(evidence, case, redact=redact)
    subject = made.subject
    output.say(f"{subject.finding.check} on {subject.finding.subject}: {subject.finding.headline}")
    told: dict[str, Any] = {
        "check": subject.finding.check,
        "subject": subject.finding.subject,
        "files": made.files,
        "bytes": len(made.data),
        "prompts": [request.key for request in subject.batch],
        "written": None,
    }
    if not (yes or redact):
        listed = prompts_of(subject, tokenizer=_tokenizer(evidence))
        output.say(f"these {len(listed)} prompts, and the answers to them, would leave with it:")
        output.say_lines(f"  {key}: {text}" for key, text in listed)
        output.say("nothing was written: add --yes to write it, or --redact to leave them out")
        output.document(told | {"exit_code": COULD_NOT_RUN})
        return COULD_NOT_RUN
    path = Path(out or f"bundle-{head(evidence.header.run, cells=60).replace('/', '-')}.zip")
    replace(path, made.data)
    output.say(f"wrote {path} ({len(made.data):,} bytes): {', '.join(made.files)}")
    output.document(told | {"written": str(path), "exit_code": 0})
    return 0


def _tokenizer(evidence: Evidence) -> Any:
    """The pair's, to show prompts as text; None where it cannot be had, and ids are shown."""
    from equivcheck.core.errors import PairError
    from equivcheck.pairs.tokenizer import load_tokenizer

    try:
        return load_tokenizer(evidence.header.settings.setup.pair)
    except PairError as error:
        note(f"prompts are shown as token ids: {error}")
        return None
