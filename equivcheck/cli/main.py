"""The command line: which verbs there are, one a module, and what becomes of errors.

Exit codes: 0 equivalent, 1 not equivalent, 2 could not run, 3 inconclusive, 130 interrupted.
Nothing heavy is imported here, nor by the verbs until they work.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any

import click

from equivcheck import __version__
from equivcheck.capture.threads import spin_briefly
from equivcheck.cli.output import Output, forgiving, open_streams, say_error
from equivcheck.cli.supervise import supervised
from equivcheck.core.errors import EquivcheckError, SettingsError, did_you_mean
from equivcheck.core.exit_codes import COULD_NOT_RUN, INTERRUPTED
from equivcheck.core.extras import missing

VERBS = (
    "init",
    "run",
    "merge",
    "judge",
    "compare",
    "baseline",
    "replay",
    "suite",
    "bundle",
    "report",
    "export",
    "bench",
    "advise",
    "score",
    "faults",
    "pairs",
    "engines",
    "doctor",
)
COMPLETION = "_EQUIVCHECK_COMPLETE"


class Verbs(click.Group):
    """A group whose verbs are loaded from `equivcheck.cli` when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order in which one meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one verb."""
        if cmd_name not in VERBS:
            return None
        command = import_module(f"equivcheck.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest a verb where there is none of that name."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], VERBS)
            ctx.fail(f"no verb named {args[0]!r}{hint}; verbs: {', '.join(VERBS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. What would leave Python from inside it is a break-down like any other.

        Python would exit with the code of an engine's own ``sys.exit()``, or with 1, and both read
        as a verdict. Click's own exits are not raised in here.
        """
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise RuntimeError(f"{error!r} came before a verdict") from error


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="equivcheck")
def equivcheck() -> None:
    """Prove a speculative decoder lossless against its target, or show where it is not.

    Exit codes: 0 equivalent, 1 not equivalent, 2 could not run, 3 inconclusive.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    spin_briefly()
    open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a mark gets its escape, and the verdict its exit code.
            stream.reconfigure(errors="backslashreplace")
    if COMPLETION in os.environ:
        # A shell asks for words: no verb runs, and nothing that has a verdict.
        equivcheck.main(prog_name="equivcheck")
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(supervised(lambda: run(given), refuse=partial(could_not_run, arguments=given)))


def run(arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code. Errors made by the user end in one clear message.

    Anything unforeseen is shown with its traceback and could-not-run too: Python's own exit code
    for it, 1, would read as a verdict.
    """
    try:
        refuse_foreign_bytes(arguments)
        code = equivcheck.main(list(arguments), prog_name="equivcheck", standalone_mode=False)
    except click.ClickException as error:
        with forgiving(sys.stderr):
            error.show()
        return error.exit_code
    except click.Abort:
        say_error("interrupted")
        return INTERRUPTED
    except EquivcheckError as error:
        message = str(error)
    except OSError as error:
        # Of a path that was given, and that no verb has words of its own for: one too long, say.
        if error.filename is None:
            return broke_down(error, arguments)
        message = f"{os.fsdecode(error.filename)}: {error.strerror}"
    except ModuleNotFoundError as error:
        told = missing(error)
        if told is None:
            return broke_down(error, arguments)
        message = told
    except Exception as error:
        return broke_down(error, arguments)
    else:
        return code if isinstance(code, int) else 0
    return could_not_run(message, arguments)


def broke_down(error: Exception, arguments: Sequence[str]) -> int:
    """Show where something unforeseen came from; the exit code."""
    with forgiving(sys.stderr):
        traceback.print_exception(error)
    return could_not_run(f"broke down with {type(error).__name__}: {error}", arguments)


def could_not_run(message: str, arguments: Sequence[str]) -> int:
    """Say why, in words and as JSON where that was asked for; the exit code."""
    say_error(message)
    if "--json" in arguments:
        Output(as_json=True).document({"error": message, "exit_code": COULD_NOT_RUN})
    return COULD_NOT_RUN


def refuse_foreign_bytes(arguments: Sequence[str]) -> None:
    """Refuse what no record could hold: arguments are UTF-8, paths among them.

    Raises:
        SettingsError: one is not; names it.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise SettingsError(f"argument {argument!r}: holds bytes that are no UTF-8") from None
