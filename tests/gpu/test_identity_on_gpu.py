"""The identity contract on a GPU: eager and captured steps, and plain against speculative."""

from __future__ import annotations

import gc

import pytest
import torch

from equivcheck.core.cases import Sampling
from equivcheck.core.generation import Request
from equivcheck.decoding.contract import probe_contract
from equivcheck.decoding.drafters import Drafter, ModelDrafter, PromptLookupDrafter
from equivcheck.decoding.graphs import Landing
from equivcheck.decoding.prefill import chunk_on
from equivcheck.decoding.reaching import reaches, sound_reaches
from tests.gpu.models import DEVICE, DTYPES, POSITIONS, decoder, model_on_gpu
from tests.unit.decoding.models import VOCAB, decode, make_requests

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rows", [1, 8, 16])
def test_the_probe_says_what_holds(dtype: torch.dtype, rows: int) -> None:
    """Whether the contract holds is for the probe to say; it must say so for every operation."""
    report = probe_contract(model_on_gpu(dtype), rows=rows, width=8, tokens=32, operations=True)
    assert {probe.name for probe in report.probes} >= {"step", "query_key_value", "attention"}
    assert (report.contract is None) == bool(report.probes[0].differing)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("drafting", ["model", "lookup"])
def test_speculative_equals_plain_where_the_contract_holds(
    dtype: torch.dtype, rows: int, drafting: str
) -> None:
    model = model_on_gpu(dtype)
    if probe_contract(model, rows=rows, width=8).contract is None:
        pytest.skip(f"no identity contract for {dtype} at {rows} rows on this device")
    drafter: Drafter = PromptLookupDrafter()
    if drafting == "model":
        drafter = ModelDrafter(model_on_gpu(dtype, noise=0.05), rows=rows)
    requests = make_requests(12, tokens=40)
    plain = decode(decoder(model, None, rows=rows), requests)
    drafted = decode(decoder(model, drafter, rows=rows), requests)
    for key, generation in plain.items():
        assert drafted[key].token_ids == generation.token_ids
        assert drafted[key].logit_digests == generation.logit_digests


def long_requests(count: int, *, tokens: int) -> list[Request]:
    """Prompts of several chunks, the last of which fills the context with its answer."""
    generator = torch.Generator().manual_seed(count)
    room = POSITIONS - chunk_on(DEVICE) - tokens
    lengths = torch.linspace(1, room, count).int().tolist()
    return [
        Request(
            key=f"long/{length}",
            prompt_ids=tuple(torch.randint(VOCAB, (length,), generator=generator).tolist()),
            max_new_tokens=tokens,
            sampling=Sampling(),
            ignore_eos=True,
        )
        for length in lengths
    ]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("together", [False, True])
def test_a_captured_step_computes_what_an_eager_one_does(
    dtype: torch.dtype, together: bool
) -> None:
    """Of the drafter, too: what it drafts shows in nothing else that is compared."""
    model = model_on_gpu(dtype, lengths=reaches(POSITIONS))
    requests = [*make_requests(8, tokens=24), *long_requests(6, tokens=24)]
    captured, eager = (
        decoder(model, ModelDrafter(model, rows=4), rows=4, reads_together=together)
        for _ in range(2)
    )
    eager.runner.launch = lambda key, step: Landing(step().cpu(), None)  # type: ignore[method-assign]
    for reader in eager.recorders[1:]:
        reader.execute = lambda key, step: step()  # type: ignore[method-assign]
    left, right = decode(captured, requests), decode(eager, requests)
    assert all(recorder.graphs for recorder in captured.recorders)
    assert not any(recorder.graphs for recorder in eager.recorders)
    for key in left:
        assert left[key].token_ids == right[key].token_ids
        assert left[key].logit_digests == right[key].logit_digests
        counts = [
            [(step.drafted, step.accepted) for step in each[key].steps] for each in (left, right)
        ]
        assert counts[0] == counts[1]
    steps = [step for answer in left.values() for step in answer.steps]
    # The target drafts for itself; at another width, which moves low bits.
    assert sum(step.accepted for step in steps) > 0.6 * sum(step.drafted for step in steps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_prompts_read_in_company_change_no_bit(dtype: torch.dtype) -> None:
    model = model_on_gpu(dtype)
    if not probe_contract(model, rows=4, width=8).reads_together:
        pytest.skip(f"prompts in {dtype} have to be read one by one on this device")
    requests = [*make_requests(14, tokens=24), *long_requests(6, tokens=24)]
    expected = decode(decoder(model, None, rows=4), requests)
    answers = decode(decoder(model, None, rows=4, reads_together=True), requests)
    for key in expected:
        assert answers[key].token_ids == expected[key].token_ids
        assert answers[key].logit_digests == expected[key].logit_digests


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_outputs_do_not_depend_on_how_far_attention_reaches(dtype: torch.dtype) -> None:
    """One graph a reach: rows grow past several of them while others start again."""
    whole = model_on_gpu(dtype)
    lengths = sound_reaches(whole, rows=4, width=8)
    requests = make_requests(10, tokens=150)
    near = decoder(model_on_gpu(dtype, lengths=lengths), None, rows=4)
    expected, answers = decode(decoder(whole, None, rows=4), requests), decode(near, requests)
    assert len(near.runner.graphs) >= min(2, len(lengths))
    for key in expected:
        assert answers[key].token_ids == expected[key].token_ids
        assert answers[key].logit_digests == expected[key].logit_digests


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_recordings_do_not_need_what_the_library_forgets(dtype: torch.dtype) -> None:
    """Whoever records with torch.compile clears the workspaces of products, ours as well."""
    model = model_on_gpu(dtype)
    requests = [*make_requests(4, tokens=24), *long_requests(2, tokens=24)]
    # The first to record, and gone with all the memory that its recordings had.
    expected = decode(decoder(model, None, rows=4), requests)
    recorded = decoder(model, ModelDrafter(model, rows=4), rows=4)
    answers = [decode(recorded, requests)]
    gc.collect()
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    answers.append(decode(recorded, requests))
    for each in answers:
        for key in expected:
            assert each[key].token_ids == expected[key].token_ids
            assert each[key].logit_digests == expected[key].logit_digests
