"""The nouns a suite is made of: `Sampling`, `Case`, `Suite`. Reading files is `load_suites.py`.

Pure data, validated on construction from JSON by msgspec; unknown keys are errors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from equivcheck.core.graders import Grader
from equivcheck.core.times import Arrives, Delay, Patience, ServingLimits

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
TokenId = Annotated[int, Meta(ge=0, lt=2**31)]
Count = Annotated[int, Meta(ge=0, lt=2**31)]
FARTHEST = 1e12
"""How far a logit may be moved, and by which factor: divided by the least temperature, fp32 still
holds it."""
Shift = Annotated[float, Meta(ge=-FARTHEST, le=FARTHEST)]
LEAST_TEMPERATURE = 1e-5
"""Drawing adds noise of the order of 1 to a logit over the temperature. Of that, fp32 keeps little
where the quotient is a million, and around 1e-37 the quotient itself overflows."""
MAX_NEW_TOKENS = 32_768
Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
MOST_SAMPLES = 64
RENDERED = frozenset(
    (
        *("add_generation_prompt", "chat_template", "continue_final_message", "conversation"),
        *("documents", "max_length", "messages", "padding", "return_assistant_tokens_mask"),
        *("return_dict", "return_tensors", "tokenize", "tokenizer_kwargs", "tools", "truncation"),
    )
)
"""What says how a template is rendered rather than what it reads; no suite chooses these."""


def too_cold(temperature: float) -> str | None:
    """Why nothing can be drawn at a temperature; None: it can, or it is greedy."""
    if not 0 < temperature < LEAST_TEMPERATURE:
        return None
    return f"{temperature:g} is below {LEAST_TEMPERATURE:g}; write 0 for greedy"


class Sampling(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """How a token is drawn from the target's logits. The defaults are plain greedy decoding.

    Applied per prefix in this order: penalties, `logit_bias`, `banned_tokens`, `min_new_tokens`
    (bans stop tokens until reached), `temperature`, `top_k`, `top_p`, `min_p`.
    """

    temperature: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.0
    """0 is greedy: the argmax, the first index winning a tie. Else at least LEAST_TEMPERATURE."""
    top_k: Count = 0
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    """Keep the smallest set of tokens, most likely first, whose mass reaches top_p."""
    min_p: Probability = 0.0
    """Keep tokens at least min_p times as likely as the most likely one."""
    repetition_penalty: Annotated[float, Meta(ge=1 / FARTHEST, le=FARTHEST)] = 1.0
    """Divide positive, multiply negative logits of tokens seen in prompt or output (CTRL)."""
    presence_penalty: Shift = 0.0
    """Subtract once from the logit of each token seen in the output."""
    frequency_penalty: Shift = 0.0
    """Subtract times the count of the token in the output."""
    logit_bias: dict[TokenId, Shift] = {}
    banned_tokens: tuple[TokenId, ...] = ()
    min_new_tokens: Count = 0

    @property
    def greedy(self) -> bool:
        """Whether no randomness is involved."""
        return self.temperature == 0.0


class Message(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One turn of a chat prompt, as the pair's chat template reads it."""

    role: Literal["system", "user", "assistant", "developer", "tool"]
    content: str | None = None
    """The text. None: this turn does nothing but call tools."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    """What the assistant calls: ``{"type": "function", "function": {"name", "arguments"}}``, the
    arguments an object, since templates write them as JSON themselves."""
    tool_call_id: str | None = None
    """Id of a tool's answer: which call it answers."""
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse a turn in which nothing is said."""
        if self.content is None and not self.tool_calls:
            raise ValueError("content: missing")


class Conversation(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a chat template makes a prompt of."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    chat_template_kwargs: dict[str, Any] = {}


class SharedPrefix(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tokens that a prompt begins with, taken from another case's."""

    id: Id
    """The other case, earlier in the file."""
    tokens: Annotated[int, Meta(ge=1, lt=2**31)] | None = None
    """How many of its first tokens; None: all of its prompt."""


class Case(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One prompt and how to continue it. Exactly one of prompt, messages and token_ids is set."""

    id: Id
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    token_ids: tuple[TokenId, ...] | None = None
    tools: tuple[dict[str, Any], ...] = ()
    """What the chat template is told of tools, with `messages` only."""
    chat_template_kwargs: dict[str, Any] = {}
    """What else the chat template is told, such as ``enable_thinking``; with `messages` only."""
    max_new_tokens: Annotated[int, Meta(ge=1, le=MAX_NEW_TOKENS)] = 96
    sampling: Sampling = Sampling()
    stop: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    stop_token_ids: tuple[TokenId, ...] = ()
    ignore_eos: bool = False
    seed: Annotated[int, Meta(ge=0, lt=2**32)] | None = None
    """None: derived from the run's seed and the case's key."""
    grader: Grader | None = None
    """How its answers are graded by themselves; None: not at all."""
    session: Id | None = None
    """The session that it is a turn of. Turns follow in the order of lines; the prompt of a later
    one begins with all turns before it and the engine's own answers to them."""
    after: Id | None = None
    """A case, earlier in the file, that is answered before this one is asked."""
    shares_prefix_with: SharedPrefix | None = None
    """What the prompt begins with, before its own text or ids."""
    n: Annotated[int, Meta(ge=1, le=MOST_SAMPLES)] = 1
    """Samples of one sampled request; read from a file, each is a case of its own."""
    arrives: Arrives | None = None
    """When it comes, to an engine that serves. None: as soon as may be."""
    give_up_after: Patience | None = None
    """How long a client waits for its answer there. None: to its end."""
    retry: Delay | None = None
    """When it is asked again, and then kept, after it was given up. None: it is not."""

    def __post_init__(self) -> None:
        """Refuse what a chat template is to be told where there is none, or where it cannot be."""
        for name in ("tools", "chat_template_kwargs"):
            if getattr(self, name) and self.messages is None:
                raise ValueError(f"{name}: only a chat template reads them; give messages")
        if taken := sorted(RENDERED & self.chat_template_kwargs.keys()):
            raise ValueError(f"chat_template_kwargs: {', '.join(taken)}: not for a suite to choose")
        if self.retry is not None and self.give_up_after is None:
            raise ValueError("retry: only of a request that is given up; say give_up_after")

    @property
    def conversation(self) -> Conversation | None:
        """What the chat template reads; None: the prompt is raw."""
        if self.messages is None:
            return None
        return Conversation(self.messages, self.tools, self.chat_template_kwargs)


class Suite(Struct, frozen=True, kw_only=True):
    """The cases of one file, with where each stands in it."""

    path: str
    workload: str
    description: str
    cases: tuple[Case, ...]
    lines: tuple[int, ...]
    """1-based line of each case, for error messages and CI annotations."""
    digest: str
    """sha256 of the file's bytes, hex."""
    distribution: bool = field(default=False, name="law")
    """Whether the distribution of its sampled cases is tested under every rule of the candidate."""
    serving: ServingLimits | None = None
    """Limits of the service that its requests are put to. None: those that there are anyway."""

    @property
    def timed(self) -> bool:
        """Whether its requests come and go at times: an engine that serves is also asked so."""
        return self.serving is not None or any(
            case.arrives is not None or case.give_up_after is not None for case in self.cases
        )

    def key(self, case: Case) -> str:
        """The name a case goes by in records and commands: ``workload/id``."""
        return f"{self.workload}/{case.id}"
