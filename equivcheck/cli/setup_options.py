"""The flags that say what is run, shared by verbs that open engines; they override the settings.

Settings come from ``[tool.equivcheck]`` or ``equivcheck.toml`` of the nearest folder that has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import click

from equivcheck.cli.output import Function
from equivcheck.core.settings import Dtype, ProfileName, Settings

Flag = tuple[str, str, str]
"""Name, setting, help."""

_SETUP: tuple[Flag, ...] = (
    ("pair", "setup.pair", "Known pair, or TARGET or TARGET+DRAFT: folders, hub ids, GGUF files."),
    ("candidate", "candidate", "Engine under test, e.g. native:gamma=4 (see: engines)."),
    ("target", "target", "Reference engine, e.g. native:gamma=0."),
    ("dtype", "setup.dtype", f"{', '.join(get_args(Dtype))}."),
    ("device", "setup.device", "auto, cpu, cuda, cuda:1."),
    ("batch_size", "setup.batch_size", "Requests decoded together, 1 to 64."),
    ("threads", "setup.threads", "CPU threads; part of the identity contract."),
)
_BASELINE: Flag = ("baseline", "baseline", "Saved run to hold this one against.")
_LAW: tuple[Flag, ...] = (
    (
        "profile",
        "profile",
        f"Tokens drawn to test a distribution: {', '.join(get_args(ProfileName))}.",
    ),
    ("sampled", "sampled", "Engine whose sampled distribution is tested; none: it is not."),
)


def setup_options(function: Function) -> Function:
    """Give a verb the flags that override single settings, and ``--set`` for all others."""
    decorated = click.option(
        "--set", "overrides", multiple=True, metavar="A.B=C", help="Override any setting."
    )(function)
    return _with_flags(_SETUP, decorated)


def distribution_options(function: Function) -> Function:
    """Give a verb the flags about the test of the sampled distribution."""
    return _with_flags(_LAW, function)


def baseline_option(function: Function) -> Function:
    """Give a verb ``--baseline``."""
    return _with_flags((_BASELINE,), function)


def read_settings(flags: dict[str, object], overrides: tuple[str, ...]) -> Settings:
    """The settings in force: file, then flags, then ``--set``.

    Raises:
        SettingsError: a setting is unknown or out of range; names where it was given.
    """
    from equivcheck.core.load_settings import find_settings_file, load_settings

    given = [
        f"{setting}={flags[name]}"
        for name, setting, _ in (*_SETUP, *_LAW, _BASELINE)
        if flags.get(name) is not None
    ]
    return load_settings(find_settings_file(Path.cwd()), overrides=[*given, *overrides])


def _with_flags(flags: Iterable[Flag], function: Function) -> Function:
    for name, setting, text in reversed(tuple(flags)):
        function = click.option(
            f"--{name.replace('_', '-')}", name, metavar=name.upper(), help=f"{text} [{setting}]"
        )(function)
    return function
