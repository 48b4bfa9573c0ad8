"""The independent pass: held against one forward call, and against the decoder's penalties."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest
import torch

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Generation, Request
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.decoding.controls import SamplingControls
from equivcheck.decoding.transforms import Prefix, penalise
from equivcheck.engines.device import load_setup
from equivcheck.records.records import CANDIDATE, CONTROL, TARGET, Arbitration, Evidence
from equivcheck.records.records_file import RecordsWriter, read_evidence
from equivcheck.scoring import score
from equivcheck.scoring.jobs import parted, sampled
from equivcheck.scoring.penalties import apply_penalties, changes_logits
from equivcheck.scoring.reference import CHUNK, LOWEST, Reference, written
from tests.unit.make import (
    make_asked,
    make_capabilities,
    make_captured,
    make_generation,
    make_header,
    make_request,
)

PROMPT = tuple(range(20, 60))
answer = partial(make_generation, prompt_tokens=len(PROMPT))
SAMPLINGS = (
    Sampling(repetition_penalty=1.4),
    Sampling(presence_penalty=0.7, frequency_penalty=0.3),
    Sampling(logit_bias={7: 2.5, 9: -1.0}),
    Sampling(banned_tokens=(3, 4)),
    Sampling(min_new_tokens=5),
    Sampling(
        repetition_penalty=0.8,
        presence_penalty=-0.5,
        frequency_penalty=0.2,
        logit_bias={7: 2.5, 3: 9.0},
        banned_tokens=(3,),
        min_new_tokens=4,
        temperature=0.7,
        top_k=3,
    ),
)


@pytest.fixture(scope="session")
def reference(setup: EngineSetup) -> Reference:
    return Reference(Settings(setup=setup), eos_token_ids=(0,))


@pytest.mark.parametrize("distribution", SAMPLINGS, ids=range(len(SAMPLINGS)))
@pytest.mark.parametrize("output", [(), (7, 9, 7, 30), (7, 9, 7, 30, 8, 8)], ids=len)
def test_penalties_agree_with_the_decoders(distribution: Sampling, output: tuple[int, ...]) -> None:
    request = make_request(prompt_ids=PROMPT, sampling=distribution, stop_token_ids=(12,))
    row = torch.randn(80, generator=torch.Generator().manual_seed(1)) * 5
    controls = SamplingControls(rows=1, vocab=80, device=torch.device("cpu"))
    controls.admit(0, request, stop_ids=(12, 0))
    counts = torch.bincount(torch.tensor(output, dtype=torch.int64), minlength=80).float()
    prefix = Prefix(counts[None], torch.tensor([len(output)]))
    expected = penalise(row[None], controls, prefix)[0]
    before = row.clone()
    actual = apply_penalties(row, request, output=output, end_ids=(12, 0))
    torch.testing.assert_close(actual, expected)
    assert torch.equal(row, before)
    assert changes_logits(request)
    if len(output) == 4:
        assert not torch.equal(actual, row)


def test_neutral_sampling_changes_no_logits() -> None:
    assert not changes_logits(make_request(sampling=Sampling(temperature=0.7, top_k=3)))


@pytest.mark.parametrize(("prompt", "length"), [(1, 3), (CHUNK, 2), (100, 90), (130, 1)])
def test_scores_are_those_of_one_forward_pass(
    prompt: int, length: int, reference: Reference
) -> None:
    generator = torch.Generator().manual_seed(prompt)
    tokens = torch.randint(1, 304, (prompt + length,), generator=generator)
    output = tuple(tokens[prompt:].tolist())
    request = make_request(prompt_ids=tuple(tokens[:prompt].tolist()))
    scores = reference.score(request, output)
    with torch.inference_mode():
        rows = reference.model(tokens[None]).logits[0, prompt - 1 : -1]
    logprobs = rows.log_softmax(-1)
    own = logprobs.gather(1, tokens[prompt:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(scores.logprobs), own, atol=1e-4, rtol=0)
    highest, best = logprobs.max(-1)
    assert [gap.best for gap in scores.gaps] == best.tolist()
    gaps = torch.tensor([gap.gap for gap in scores.gaps])
    torch.testing.assert_close(gaps, highest - own, atol=1e-4, rtol=0)
    sizes = torch.tensor([gap.magnitude for gap in scores.gaps])
    chosen = rows.gather(1, torch.stack([tokens[prompt:], best], 1)).abs().amax(1)
    torch.testing.assert_close(sizes, chosen, atol=1e-4, rtol=0)


def test_penalties_know_each_tokens_own_prefix(reference: Reference) -> None:
    distribution = Sampling(frequency_penalty=0.5, logit_bias={7: 1.0})
    request = make_request(prompt_ids=PROMPT, sampling=distribution)
    output = (7, 8, 7, 7)
    scores = reference.score(request, output)
    for index, token in enumerate(output):
        following = reference.next_token(request, output[:index])
        expected = following.raw.clone()
        expected[7] += 1.0 - 0.5 * output[:index].count(7)
        expected[8] -= 0.5 * output[:index].count(8)
        logprobs = expected.log_softmax(-1)
        assert scores.logprobs[index] == pytest.approx(float(logprobs[token]), abs=1e-4)
        torch.testing.assert_close(following.logprobs, logprobs, atol=1e-4, rtol=0)


def test_a_banned_token_scores_as_impossible_and_is_still_a_number(reference: Reference) -> None:
    request = make_request(prompt_ids=PROMPT, sampling=Sampling(banned_tokens=(7,)))
    scores = reference.score(request, (7,))
    assert scores.logprobs == (LOWEST,)
    assert scores.gaps[0].gap == -LOWEST
    assert written(float("-inf")) == LOWEST


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_weights_are_the_compute_dtypes_widened(precision: str, setup: EngineSetup) -> None:
    half = msgspec.structs.replace(setup, dtype="bfloat16")
    settings = msgspec.structs.replace(Settings(setup=half), arbitration=precision)
    wide = Reference(settings, eos_token_ids=()).model
    own = load_setup(half).target
    for (name, one), other in zip(wide.named_parameters(), own.parameters(), strict=True):
        assert one.dtype == getattr(torch, precision), name
        assert torch.equal(one, other.to(one.dtype)), name
    assert next(own.parameters()).dtype == torch.bfloat16


def make_records(path: Path, setup: EngineSetup, answers: dict[str, list[Generation]]) -> Evidence:
    """Records of given answers to greedy `code/c0..`, and one sampled `code/s`."""
    settings = Settings(setup=setup, rescore_every=2)
    keys = list(dict.fromkeys(answer.key for given in answers.values() for answer in given))
    header = make_header(
        arms={arm: make_capabilities(rule="rejection") for arm in answers},
        planned=dict.fromkeys(answers, keys),
        settings=settings,
        vocab_size=304,
    )
    with RecordsWriter.create(path, header) as writer:
        for key in keys:
            distribution = Sampling(temperature=1.0) if key == "code/s" else Sampling()
            writer.append(make_asked(make_request(key, prompt_ids=PROMPT, sampling=distribution)))
        for arm, given in answers.items():
            writer.append(*(make_captured(arm, answer) for answer in given))
    return read_evidence(path)


def greedy_output(reference: Reference, *, length: int = 6) -> tuple[int, ...]:
    output: tuple[int, ...] = ()
    request: Request = make_request(prompt_ids=PROMPT)
    for _ in range(length):
        output += (int(reference.next_token(request, output).logprobs.argmax()),)
    return output


def test_a_divergence_is_arbitrated(
    setup: EngineSetup, reference: Reference, tmp_path: Path
) -> None:
    best = greedy_output(reference)
    worse = (*best[:3], (best[3] + 1) % 304, *best[4:])
    path = tmp_path / "records.jsonl"
    answers = {
        TARGET: [answer(best, key="code/c0"), answer(best, key="code/s")],
        CANDIDATE: [answer(worse, key="code/c0"), answer(worse, key="code/s")],
        CONTROL: [answer(best[:2], key="code/c0", finish_reason="eos")],
    }
    make_records(path, setup, answers)
    score(path)
    found = {each.arm: each for each in read_evidence(path).arbitrations}
    assert set(found) == {CANDIDATE, CONTROL}
    (ours, control) = (found[CANDIDATE], found[CONTROL])
    assert isinstance(ours, Arbitration)
    assert (ours.key, ours.position, ours.best) == ("code/c0", 3, best[3])
    assert ours.reference == "transformers float32"
    distribution = reference.next_token(make_request(prompt_ids=PROMPT), best[:3])
    assert ours.target_logprob == pytest.approx(float(distribution.logprobs[best[3]]), abs=1e-5)
    assert ours.arm_logprob == pytest.approx(float(distribution.logprobs[worse[3]]), abs=1e-5)
    assert ours.best_logprob == ours.target_logprob
    sizes = [abs(float(distribution.raw[token])) for token in (best[3], worse[3])]
    assert ours.magnitude == pytest.approx(max(sizes), abs=1e-4)
    assert [gap.gap for gap in ours.target_gaps] == [0.0] * 6
    assert [gap.gap > 0 for gap in ours.arm_gaps][:4] == [False, False, False, True]
    tokenizer = load_setup(setup).tokenizer
    assert (ours.target_piece, ours.arm_piece) == (
        tokenizer.decode([best[3]]),
        tokenizer.decode([worse[3]]),
    )
    assert ours.context == tokenizer.decode([*PROMPT, *best[:3]][-24:])
    assert (control.position, control.arm_logprob, control.arm_piece) == (2, None, "")
    assert control.target_logprob is not None
    assert len(control.arm_gaps) == 2


def test_every_nth_output_is_scored_in_full_and_nothing_twice(
    setup: EngineSetup, reference: Reference, tmp_path: Path
) -> None:
    best = greedy_output(reference)
    given = [answer(best, key=f"code/c{index}") for index in range(3)]
    path = tmp_path / "records.jsonl"
    evidence = make_records(path, setup, {TARGET: given, CANDIDATE: given})
    assert not parted(evidence)
    assert [tuple(each) for each in sampled(evidence)] == [
        ("code/c0", TARGET),
        ("code/c0", CANDIDATE),
        ("code/c2", TARGET),
        ("code/c2", CANDIDATE),
    ]
    told: list[tuple[str, int, int]] = []
    score(path, progress=lambda *step: told.append(step))
    assert told[-1] == ("scoring", 4, 4)
    once = path.read_bytes()
    assert len(read_evidence(path).rescored) == 4
    score(path)
    assert path.read_bytes() == once


def test_an_output_without_a_token_has_no_scores(
    setup: EngineSetup, reference: Reference, tmp_path: Path
) -> None:
    best = greedy_output(reference)
    given = {
        TARGET: [answer(best, key="code/c0")],
        CANDIDATE: [answer((), key="code/c0")],
    }
    path = tmp_path / "records.jsonl"
    make_records(path, setup, given)
    score(path)
    found = read_evidence(path)
    (arbitration,) = found.arbitrations
    assert (arbitration.position, arbitration.arm_logprob, arbitration.arm_gaps) == (0, None, ())
    assert len(arbitration.target_gaps) == len(best)
    assert [len(each.logprobs) for each in found.rescored] == [len(best), 0]


def test_ids_outside_the_vocabulary_are_left_to_the_stop_rules(
    setup: EngineSetup, reference: Reference, tmp_path: Path
) -> None:
    best = greedy_output(reference)
    made_up = (*best[:3], 304, *best[4:])
    given = {
        TARGET: [answer(best, key="code/c0")],
        CANDIDATE: [answer(made_up, key="code/c0")],
    }
    path = tmp_path / "records.jsonl"
    evidence = make_records(path, setup, given)
    assert evidence.header.vocab_size == 304
    assert not parted(evidence)
    score(path)
    assert [found.arm for found in read_evidence(path).rescored] == [TARGET]
