"""Say a request in the words of transformers' `generate()`, so that nothing else decides.

Checkpoints carry generation settings of their own (top_k, penalties, ...), which `generate()` mixes
in wherever a setting is left out. `shell` hides them: a view of the model with a blank config.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging import ERROR
from typing import Any

import torch
from torch import Tensor
from transformers import (
    CompileConfig,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StaticCache,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.utils import logging

from equivcheck.core.cases import Sampling
from equivcheck.core.detokenise import Detokenise
from equivcheck.core.generation import Request

Config: Any = GenerationConfig


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library from warning of what it does itself: hand its processors to the draft."""
    before = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def shell(model: PreTrainedModel, **settings: Any) -> PreTrainedModel:
    """The same modules and weights under a generation config of our own."""
    view = copy.copy(model)
    view.generation_config = Config(**settings)
    return view


def generation_config(
    request: Request, *, stop_ids: Sequence[int], method: Mapping[str, Any]
) -> GenerationConfig:
    """Every setting that a request speaks about, stated; the rest at its neutral value.

    Args:
        request: Penalties by output counts, biases and the minimum length are `OwnProcessor`'s.
        stop_ids: All ids that end the request.
        method: Settings that make `generate()` draft or compile.
    """
    sampling = request.sampling
    drawing: dict[str, Any] = {"do_sample": False}
    if not sampling.greedy:
        drawing = {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p or None,
        }
    config: GenerationConfig = Config(
        max_new_tokens=request.max_new_tokens,
        repetition_penalty=sampling.repetition_penalty,
        suppress_tokens=list(sampling.banned_tokens) or None,
        eos_token_id=list(stop_ids) or None,
        # Only padding of finished rows would use it, and there is one row.
        pad_token_id=stop_ids[0] if stop_ids else 0,
        **drawing,
        **method,
    )
    return config


def compiling(device: torch.device) -> dict[str, Any]:
    """Settings that make `generate()` compile its one-token step on a device.

    It does so by itself on a GPU, where the default, ``reduce-overhead``, replays CUDA graphs;
    elsewhere it has to be told.
    """
    cuda = device.type == "cuda"
    config: Any = CompileConfig(mode="reduce-overhead" if cuda else "default")
    if not cuda:
        config._compile_all_devices = True
    return {"compile_config": config}


def static_cache(model: PreTrainedModel, positions: int) -> StaticCache:
    """A cache of fixed size, all of which each step attends to."""
    return StaticCache(config=model.config, max_cache_len=positions)


def processors(
    request: Request, *, stop_ids: Sequence[int], last: LogitsProcessor
) -> LogitsProcessorList:
    """What comes between the repetition penalty and temperature; ``last`` sees the result."""
    sampling = request.sampling
    needed = (
        sampling.presence_penalty
        or sampling.frequency_penalty
        or sampling.logit_bias
        or sampling.min_new_tokens
    )
    own = (
        [OwnProcessor(sampling, prompt=len(request.prompt_ids), stop_ids=stop_ids)]
        if needed
        else []
    )
    return LogitsProcessorList([*own, last])


class OwnProcessor(LogitsProcessor):
    """What `generate()` has no setting for, or applies in another order than ours.

    Keeps no state: everything follows from the prefix, so it may run on drafts too.
    """

    def __init__(self, sampling: Sampling, *, prompt: int, stop_ids: Sequence[int]) -> None:
        """Work for one request whose output starts after ``prompt`` tokens."""
        self.sampling, self.prompt, self.stop_ids = sampling, prompt, list(stop_ids)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take [1, length] ids and [1, vocab] logits to new logits."""
        output = input_ids[0, self.prompt :]
        counts = torch.bincount(output, minlength=scores.shape[-1]).to(scores)
        scores = scores - self.sampling.presence_penalty * (counts > 0)
        scores = scores - self.sampling.frequency_penalty * counts
        for token, bias in self.sampling.logit_bias.items():
            scores[:, token] += bias
        if len(output) < self.sampling.min_new_tokens:
            scores[:, self.stop_ids] = float("-inf")
        return scores


class TextStop(StoppingCriteria):
    """Ends a request as soon as its output's text holds one of its stop strings.

    transformers' own criterion also looks at the prompt's end, which is not output.
    """

    def __init__(self, request: Request, detokenise: Detokenise) -> None:
        """Watch for the request's stop strings."""
        self.stop, self.prompt, self.detokenise = request.stop, len(request.prompt_ids), detokenise

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """One flag a row, [1]."""
        text = self.detokenise(input_ids[0, self.prompt :].tolist())
        return torch.tensor([any(stop in text for stop in self.stop)], device=input_ids.device)


def stopping(request: Request, detokenise: Detokenise) -> StoppingCriteriaList:
    """Criteria beside length and stop ids."""
    return StoppingCriteriaList([TextStop(request, detokenise)] if request.stop else [])
