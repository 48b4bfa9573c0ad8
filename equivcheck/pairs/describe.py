"""Say what a pair is, for people and for ``--json``: sizes, provenance, whether it fits.

Reads configs, checkpoint headers and tokenizers; loads no weights.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from equivcheck.core.cache import cache_folder
from equivcheck.core.errors import PairError
from equivcheck.pairs.alignment import check_alignment
from equivcheck.pairs.locate import locate, read_config, read_object, vocabulary_of
from equivcheck.pairs.packages import PACKAGES, package_folder
from equivcheck.pairs.shapes import shape_named, widened_config
from equivcheck.pairs.sources import ModelSource, PairSource, resolve
from equivcheck.pairs.stored import check_stored
from equivcheck.pairs.suitability import parameters_of, size_warnings
from equivcheck.pairs.tokenizer import end_tokens, read_tokenizer
from equivcheck.pairs.weights import read_weights, source_sha256

_CARD_LICENCE = re.compile(r"^license:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


def describe_pair(spec: str, *, fetch: bool = True) -> dict[str, Any]:
    """Everything ``equivcheck pairs NAME`` shows, fit for JSON.

    Args:
        spec: as `sources.resolve` takes it.
        fetch: get what is not on this machine yet. Without, such a pair comes back with
            ``"present": False`` and nothing that would have to be read from its files.

    Raises:
        PairError: the pair is unknown, or cannot be had.
    """
    source = resolve(spec)
    summary: dict[str, Any] = {
        "name": source.name,
        "description": source.description,
        "present": fetch or all(_present(model) for model in _models(source)),
        "cache": str(cache_folder()),
        "target": _origin(source.target),
        "draft": None if source.draft is None else _origin(source.draft),
    }
    if not summary["present"]:
        return summary
    summary["target"] |= _contents(source.target)
    if source.draft is not None:
        summary["draft"] |= _contents(source.draft)
    return summary | _fit(source, summary)


def _models(source: PairSource) -> list[ModelSource]:
    return [model for model in (source.target, source.draft) if model is not None]


def _present(source: ModelSource) -> bool:
    """Whether a source can be described without fetching or converting anything."""
    if source.kind == "package":
        return package_folder(PACKAGES[source.location]).is_dir()
    return source.kind != "hub" and Path(source.location).exists()


def _origin(source: ModelSource) -> dict[str, Any]:
    package = PACKAGES[source.location] if source.kind == "package" else None
    return {
        "source": f"{package.requirement} {source.made}".rstrip() if package else source.label,
        "kind": source.kind,
        "licence": package.licence if package else None,
        "provenance": package.provenance if package else None,
    }


def _contents(source: ModelSource) -> dict[str, Any]:
    folder = locate(source)
    config = read_config(folder, source)
    if source.shape is not None:
        config = widened_config(config, shape_named(source.shape))
    weights = read_weights(folder)
    contents = {
        "architecture": (config.get("architectures") or [config.get("model_type")])[0],
        "layers": config.get("num_hidden_layers"),
        "hidden": config.get("hidden_size"),
        "vocabulary": vocabulary_of(config, folder),
        "parameters": parameters_of(source),
        "dtypes": list(weights.dtypes),
        "bytes": weights.size,
        "sha256": source_sha256(source),
        "folder": str(folder),
    }
    return contents | _card(folder)


def _card(folder: Path) -> dict[str, Any]:
    """What the GGUF file says of itself, or the model card in the folder or above it."""
    converted = folder / "gguf.json"
    if converted.is_file():
        origin = read_object(converted)
        found = {"licence": origin.get("license"), "quantised": origin.get("quantised")}
        return {key: value for key, value in found.items() if value is not None}
    for card in (folder / "README.md", folder.parent / "README.md"):
        if card.is_file() and (named := _CARD_LICENCE.search(card.read_text("utf-8", "replace"))):
            return {"licence": named[1]}
    return {}


def _fit(source: PairSource, summary: dict[str, Any]) -> dict[str, Any]:
    """How the two models go together, as far as that can be told without their weights."""
    tokenizer = read_tokenizer(source.tokenizer)
    target, draft = summary["target"], summary["draft"]
    ends, notes = end_tokens(locate(source.target), tokenizer, vocab_size=target["vocabulary"])
    fit: dict[str, Any] = {
        "tokens": len(tokenizer),
        "chat_template": bool(tokenizer.chat_template),
        "end_tokens": {str(tokenizer.convert_ids_to_tokens(token)): token for token in ends},
        "ratio": None,
        "aligned": None,
        "alignment": "no draft model: drafts come from prompt lookup",
        "warnings": [*check_stored(locate(source.target), source.target), *notes],
    }
    if source.draft is None:
        return fit
    fit["ratio"] = round(target["parameters"] / draft["parameters"], 2)
    fit["warnings"] += check_stored(locate(source.draft), source.draft)
    fit["warnings"] += size_warnings(source.target, source.draft)
    try:
        found = check_alignment(
            target_tokenizer=tokenizer,
            draft_tokenizer=read_tokenizer(source.draft),
            target_vocab=target["vocabulary"],
            draft_vocab=draft["vocabulary"],
        )
    except PairError as error:
        return fit | {"aligned": False, "alignment": str(error)}
    fit["warnings"] += found.notes
    text = f"{found.compared} token ids compared, all alike"
    return fit | {"aligned": True, "alignment": text}
