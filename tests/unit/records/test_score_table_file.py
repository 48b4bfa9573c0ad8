"""Scores survive the disk, and a file that is not whole is refused by name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from equivcheck.core.errors import EquivcheckError, RecordsError
from equivcheck.core.generation import Generation
from equivcheck.records.replays import Replays, nothing_replayed
from equivcheck.records.score_table import ScoreTable
from equivcheck.records.score_table_file import (
    SCORES_NAME,
    concatenate,
    digest_of_outputs,
    read_scores,
    write_scores,
)
from tests.unit.make import make_generation, make_steps
from tests.unit.statistics import tables

TABLE = tables.make(tables.Decoder(), seed=1, rounds=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / SCORES_NAME


def assert_equal(one: ScoreTable, other: ScoreTable) -> None:
    for field in dataclasses.fields(ScoreTable):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype, field.name
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
        else:
            assert ours == theirs, field.name


def part(table: ScoreTable, first: int, last: int) -> ScoreTable:
    """The rows of outputs `first` to `last`, not included."""
    rows = slice(int(table.starts[first]), int(table.starts[last]))
    columns = {
        field.name: getattr(table, field.name)[rows]
        for field in dataclasses.fields(ScoreTable)
        if isinstance(getattr(table, field.name), np.ndarray) and field.name != "starts"
    }
    starts = table.starts[first : last + 1] - table.starts[first]
    return dataclasses.replace(table, keys=table.keys[first:last], starts=starts, **columns)


def replays_of(rows: int) -> Replays:
    found = nothing_replayed(rows)
    return dataclasses.replace(found, token=np.arange(rows, dtype=np.int32))


def test_replays_survive_the_disk(path: Path) -> None:
    write_scores(path, dataclasses.replace(TABLE, replays=replays_of(TABLE.rows)))
    found = read_scores(path)
    assert found.replays is not None
    np.testing.assert_array_equal(found.replays.token, np.arange(TABLE.rows))
    assert_equal(dataclasses.replace(found, replays=None), TABLE)


def test_a_file_without_replays_has_none_of_their_columns(path: Path) -> None:
    write_scores(path, TABLE)
    with safe_open(path, framework="numpy") as file:
        assert not any(name.startswith("replay") for name in file.keys())  # noqa: SIM118
    assert read_scores(path).replays is None


def test_replays_are_joined_with_rows_that_were_not_replayed() -> None:
    whole = dataclasses.replace(TABLE, replays=replays_of(TABLE.rows))
    joined = concatenate([TABLE, whole]).replays
    assert joined is not None
    assert joined.token[: TABLE.rows].tolist() == [-1] * TABLE.rows
    assert joined.token[TABLE.rows :].tolist() == list(range(TABLE.rows))
    assert concatenate([TABLE, TABLE]).replays is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"replay_off": None}, "column replay_off is missing"),
        ({"replay_token": np.zeros(TABLE.rows, np.float32)}, "replay_token is missing, or no row"),
        ({"replay_gap": np.zeros(3, np.float32)}, "replay_gap is not as long as replay_came"),
    ],
)
def test_torn_replays_are_refused_by_name(
    path: Path, change: dict[str, NDArray[Any] | None], told: str
) -> None:
    write_scores(path, dataclasses.replace(TABLE, replays=replays_of(TABLE.rows)))
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors |= {name: values for name, values in change.items() if values is not None}
    for name, values in change.items():
        if values is None:
            del tensors[name]
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(RecordsError, match=told):
        read_scores(path)


@pytest.mark.parametrize("told", [{"draft_logprobs": (-0.5,)}, {"residual_log_weight": -0.5}])
def test_what_is_told_of_q_is_part_of_what_scores_are_about(told: dict[str, Any]) -> None:
    silent = make_generation(key="a#1", steps=make_steps((1, 1)))
    step = msgspec.structs.replace(silent.steps[0], **told)
    telling = msgspec.structs.replace(silent, steps=(step,))
    one, other = (digest_of_outputs(["a#1"], {"a#1": each}) for each in (silent, telling))
    assert one != other


def test_a_table_survives_the_disk(path: Path) -> None:
    hostile = dataclasses.replace(TABLE, keys=("a\n\u202e\x00#1", *TABLE.keys[1:]))
    write_scores(path, TABLE)
    write_scores(path, hostile)
    assert_equal(read_scores(path), hostile)
    assert [file.name for file in path.parent.iterdir()] == [SCORES_NAME]


def test_an_empty_table_survives_the_disk(path: Path) -> None:
    write_scores(path, part(TABLE, 0, 0))
    assert read_scores(path).rows == 0


def test_the_old_table_stays_where_writing_breaks_off(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scores(path, TABLE)

    def broken(file: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(EquivcheckError, match="full"):
        write_scores(path, part(TABLE, 0, 3))
    assert_equal(read_scores(path), TABLE)


def test_parts_put_together_are_the_whole() -> None:
    parts = [part(TABLE, 0, 5), part(TABLE, 5, 5), part(TABLE, 5, len(TABLE.keys))]
    assert_equal(concatenate(parts), TABLE)


def test_tables_of_other_distributions_are_not_put_together() -> None:
    with pytest.raises(ValueError, match="no tables"):
        concatenate([])
    with pytest.raises(ValueError, match="draft_distribution: 'draft model' and 'shadow'"):
        concatenate([TABLE, dataclasses.replace(TABLE, draft_distribution="shadow")])


Change = Callable[[dict[str, Any], dict[str, str]], object]
CHANGES: dict[str, tuple[Change, str]] = {
    "a column is missing": (lambda columns, _: columns.pop("bin"), "column bin is missing"),
    "a column too many": (
        lambda columns, _: columns.update(more=np.zeros(2)),
        "column more is unknown",
    ),
    "a column is short": (
        lambda columns, _: columns.update(entropy=columns["entropy"][1:]),
        r"column entropy: float32 of shape \(255,\), expected float32 of shape \(256,\)",
    ),
    "other bins": (
        lambda columns, _: columns.update(bin_mass=columns["bin_mass"][:, 1:].copy()),
        r"column bin_mass: float32 of shape \(256, 29\), expected float32 of shape \(256, 30\)",
    ),
    "other alternatives": (
        lambda _, told: told.update(alternatives='["leak=1"]'),
        r"column log_ratio: .*expected float32 of shape \(256, 1\)",
    ),
    "another kind": (
        lambda columns, _: columns.update(ends=columns["ends"].astype(np.uint8)),
        "column ends: uint8 .* expected bool",
    ),
    "other outputs": (
        lambda columns, _: columns.update(starts=columns["starts"][1:].copy()),
        "column starts: .* for 16 outputs",
    ),
    "starts that fall": (
        lambda columns, _: columns.update(starts=columns["starts"][::-1].copy()),
        "column starts: does not rise from 0",
    ),
    "no keys": (lambda _, told: told.pop("keys"), "column keys is missing or no JSON"),
    "keys that are no names": (lambda _, told: told.update(keys="[1]"), "no list of names"),
    "a distribution without a name": (
        lambda _, told: told.update(draft_law="3"),
        "draft_law: no text",
    ),
    "another format": (lambda _, told: told.update(format="else"), "holds no scores"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_a_table_that_does_not_fit_itself_is_refused(
    change: Change, message: str, path: Path
) -> None:
    write_scores(path, TABLE)
    with safe_open(path, framework="numpy") as file:
        told, names = dict(file.metadata()), list(file.keys())
        columns = {name: file.get_tensor(name) for name in names}
    change(columns, told)
    save_file(columns, path, metadata=told)
    with pytest.raises(RecordsError, match=message) as caught:
        read_scores(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_a_torn_file_is_refused(kept: int, path: Path) -> None:
    write_scores(path, TABLE)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RecordsError, match=r"scores\.safetensors: cannot be read as scores"):
        read_scores(path)


def test_a_foreign_file_and_a_missing_one_are_refused(path: Path) -> None:
    with pytest.raises(RecordsError, match="there is no such file"):
        read_scores(path)
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(RecordsError, match="holds no scores"):
        read_scores(path)
    path.write_bytes(b"PK\x03\x04 something else altogether")
    with pytest.raises(RecordsError, match="cannot be read"):
        read_scores(path)


def drawn_for(table: ScoreTable) -> dict[str, Generation]:
    return {
        key: make_generation(range(int(length)), key=key, steps=make_steps((2, 1), (2, 0)))
        for key, length in zip(table.keys, np.diff(table.starts), strict=True)
    }


def test_the_same_scores_are_the_same_bytes(path: Path) -> None:
    found = set()
    for _ in range(8):
        write_scores(path, TABLE, about="d")
        found.add(path.read_bytes())
    assert len(found) == 1


def test_scores_are_of_the_draws_that_they_were_made_from(path: Path) -> None:
    drawn = drawn_for(TABLE)
    write_scores(path, TABLE, about=digest_of_outputs(TABLE.keys, drawn))
    assert_equal(read_scores(path, outputs=drawn | {"more#1": make_generation()}), TABLE)
    key = TABLE.keys[3]
    tokens = (*drawn[key].token_ids[:-1], 99)
    for changed in (
        {"token_ids": tokens},
        {"steps": make_steps((2, 1), (3, 0))},
    ):
        other = drawn | {key: msgspec.structs.replace(drawn[key], **changed)}
        with pytest.raises(RecordsError, match="draws were changed after they were scored"):
            read_scores(path, outputs=other)
    with pytest.raises(RecordsError, match=f"holds scores of '{key}', which was not drawn"):
        read_scores(path, outputs={k: drawn[k] for k in drawn if k != key})


def test_scores_from_before_they_said_what_they_are_about_are_read(path: Path) -> None:
    write_scores(path, TABLE)
    assert_equal(read_scores(path, outputs=drawn_for(TABLE)), TABLE)
