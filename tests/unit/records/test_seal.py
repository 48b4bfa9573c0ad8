"""Whatever is done to a line that was written is refused, and the number of the line is said."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from equivcheck.cli.main import run
from equivcheck.core.cases import Sampling
from equivcheck.core.errors import RecordsError
from equivcheck.core.generation import Step
from equivcheck.records.evidence_digest import evidence_digest
from equivcheck.records.records import CANDIDATE, TARGET, Failed
from equivcheck.records.records_file import RECORDS_NAME, RecordsWriter, read_evidence, seal
from tests.unit.make import make_asked, make_captured, make_generation, make_header, make_request
from tests.unit.records.test_records_file import FINDING, HEADER, KEYS, SEALED, write
from tests.unit.seals import bare_lines, reseal, unseal


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def refused_at(path: Path, lines: list[bytes]) -> int:
    path.write_bytes(b"".join(lines))
    with pytest.raises(RecordsError, match=r":\d+: ") as caught:
        read_evidence(path)
    place, _, _ = str(caught.value).removeprefix(f"{path}:").partition(": ")
    return int(place)


def test_a_removed_line_is_refused_wherever_it_stood(tmp_path: Path) -> None:
    write(path := tmp_path / "r.jsonl")
    whole = lines_of(path)
    for at in range(1, len(whole) - 1):
        assert refused_at(path, whole[:at] + whole[at + 1 :]) == at + 1


def test_a_doubled_line_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    write(path := tmp_path / "r.jsonl")
    whole = lines_of(path)
    for at in range(len(whole)):
        assert refused_at(path, [*whole[: at + 1], *whole[at:]]) == at + 2


def test_two_lines_in_another_order_are_refused(tmp_path: Path) -> None:
    write(path := tmp_path / "r.jsonl")
    whole = lines_of(path)
    for at in range(1, len(whole) - 1):
        swapped = [*whole[:at], whole[at + 1], whole[at], *whole[at + 2 :]]
        assert refused_at(path, swapped) == at + 1


def test_a_line_of_another_run_is_refused(tmp_path: Path) -> None:
    write(path := tmp_path / "r.jsonl")
    whole = lines_of(path)
    write(other := tmp_path / "o.jsonl", evidence=(make_asked(make_request(KEYS[1])),))
    assert refused_at(path, [whole[0], lines_of(other)[2], *whole[2:]]) == 2


def test_every_flipped_bit_of_a_finished_run_is_seen(tmp_path: Path) -> None:
    """Only that of the last line's end leaves an unfinished run, which is never a pass."""
    write(path := tmp_path / "r.jsonl")
    whole, chance = path.read_bytes(), random.Random(20261130)
    for _ in range(400):
        at, bit = chance.randrange(len(whole) - 1), chance.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        with pytest.raises(RecordsError, match=r":\d+: "):
            read_evidence(path)
    path.write_bytes(whole[:-1] + b"\x0b")
    assert read_evidence(path).sealed is None


def test_seals_taken_off_some_lines_are_missed(tmp_path: Path) -> None:
    write(path := tmp_path / "r.jsonl")
    whole, bare = lines_of(path), [line + b"\n" for line in bare_lines(path)]
    assert refused_at(path, [whole[0], bare[1], *whole[2:]]) == 2
    assert refused_at(path, [*bare[:3], *whole[3:]]) == 4


def test_a_run_without_seals_is_read_and_gone_on_with_as_it_is(tmp_path: Path) -> None:
    write(path := tmp_path / "r.jsonl")
    assert not read_evidence(path).unsealed
    unseal(path)
    before = path.read_bytes()
    assert read_evidence(path).unsealed
    seal(path, findings=[FINDING], sealed=SEALED)
    assert path.read_bytes() == before
    writer, _ = RecordsWriter.resume(path, HEADER)
    with writer:
        writer.append(Failed(arm=TARGET, key=KEYS[0], message="broke"))
    assert b'"seal"' not in path.read_bytes()
    assert len(read_evidence(path).failures) == 1


@pytest.mark.parametrize(
    "verb", [["judge"], ["report"], ["export", "--prometheus", "-"], ["compare", "RUN"]]
)
def test_every_verb_refuses_a_changed_line_and_says_which_runs_are_unsealed(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(path := tmp_path / "run" / RECORDS_NAME)
    arguments = [str(path) if each == "RUN" else each for each in verb] + [str(path)]
    run(arguments)
    assert "unsealed" not in (told := capsys.readouterr()).out + told.err
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"text":', b'"texs":', 1))
    assert run(arguments) == 2
    assert ":4: breaks the seal: " in capsys.readouterr().err
    path.write_bytes(whole)
    unseal(path)
    run(arguments)
    assert str(capsys.readouterr()).count("unsealed: its lines carry no digests") == 1


def test_whoever_seals_all_lines_anew_is_not_found_out(tmp_path: Path) -> None:
    """What a seal does not promise."""
    write(path := tmp_path / "r.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"text":', b'"texs":'))
    reseal(path)
    with pytest.raises(RecordsError, match="text"):
        read_evidence(path)
    write(path := tmp_path / "s.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"headline":"EQ', b'"headline":"eq'))
    reseal(path)
    assert read_evidence(path).sealed is not None


def digest(folder: Path, *, run: str = "r", seconds: float = 0.1, last: int = 13) -> str:
    """Of a small run with these times and tokens."""
    header = make_header(planned={TARGET: KEYS, CANDIDATE: KEYS})
    step = Step(drafted=1, accepted=1, emitted=2, seconds=seconds)
    with RecordsWriter.create(folder / run / RECORDS_NAME, header) as writer:
        biased = Sampling(logit_bias={5: 1.5, 3: -1.0})
        writer.append(*(make_asked(make_request(key, sampling=biased)) for key in KEYS))
        for arm in (TARGET, CANDIDATE):
            for key in KEYS:
                answer = make_generation((10, 11, 12, last), key=key, steps=(step, step))
                writer.append(make_captured(arm, answer))
        writer.append(Failed(arm=TARGET, key=KEYS[0], message=f"broke after {seconds} s"))
    return evidence_digest(read_evidence(folder / run))


def test_two_runs_with_the_same_evidence_have_one_digest(tmp_path: Path) -> None:
    first = digest(tmp_path)
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert digest(tmp_path, run="other", seconds=7.5) == first
    assert digest(tmp_path, run="third", last=14) != first
