"""A verify step known to be right, for the option `sound` of the adapters here: their control."""

from typing import Any

import torch


def distribution(logits: Any, temperature: float) -> Any:
    """Distributions [rows, vocabulary] of rows of logits; at temperature 0 all on the best."""
    if temperature == 0:
        best = logits.argmax(-1, keepdim=True)
        return torch.zeros_like(logits).scatter_(-1, best, 1.0)
    return torch.softmax(logits.float() / temperature, -1)


def step(
    target: Any, draft: Any, ids: Any, *, gamma: int, temperature: float
) -> tuple[list[int], int]:
    """The tokens of one verify step (Leviathan et al. 2023, Algorithm 1), and drafts accepted.

    Args:
        target: A transformers module: from ids [1, length] to logits [1, length, vocabulary].
        draft: As the target.
        ids: The text so far, [1, length].
        gamma: Draft tokens.
        temperature: Of both.
    """
    start, drafted, distributions = ids.shape[1], ids, []
    for _ in range(gamma):
        distributions.append(distribution(draft(drafted).logits[0, -1:], temperature)[0])
        drafted = torch.cat([drafted, torch.multinomial(distributions[-1], 1)[None]], 1)
    p = distribution(target(drafted).logits[0, start - 1 :], temperature)
    tokens = drafted[0, start:].tolist()
    for place, (token, q) in enumerate(zip(tokens, distributions, strict=True)):
        if torch.rand(()) * q[token] >= p[place, token]:
            rest = (p[place] - q).clamp(min=0)
            return [*tokens[:place], int(torch.multinomial(rest, 1))], place
    return [*tokens, int(torch.multinomial(p[gamma], 1))], gamma
