"""onnxruntime-genai 0.18.0: its `Generator`, plain, with n-gram drafts or with a draft model.

The pair is exported by the package's own builder as the engine opens. Without `top_k` its sampler,
plain or not, draws beyond `top_p`, so cuts are refused.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from equivcheck import DraftCounts, EngineSetup, Request, decode_options, locate_pair
from equivcheck_examples.one_at_a_time import OneAtATime, Options


class Modes(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    mode: Literal["plain", "ngram", "draft"] = "plain"


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> "OrtGenai":
    return OrtGenai(decode_options("ort_genai", options, Modes), setup)


class OrtGenai(OneAtATime):
    NAME = "ort_genai"
    SERVES = ("temperature",)
    LACKS = ("stop", "stop_token_ids", "ignore_eos")
    SAYS = {"rule": "rejection", "reports_counts": True}

    def __init__(self, options: Modes, setup: EngineSetup) -> None:
        import onnxruntime_genai
        from onnxruntime_genai.models.builder import create_model, parse_extra_options

        super().__init__(options, setup)
        self.package, files = onnxruntime_genai, locate_pair(setup.pair)
        self.most = 0 if options.mode == "plain" else options.gamma
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        for role in ("target", "draft"):
            source, out = str(getattr(files, role)), str(root / role)
            how = ("", source, out, "fp32", "cpu", str(root / "cache"))
            create_model(*how, **parse_extra_options(*how, {}))
        place = root / "target" / "genai_config.json"
        told = json.loads(place.read_text())
        told["model"]["decoder"]["session_options"]["intra_op_num_threads"] = setup.threads or 1
        if options.mode == "draft":
            other = json.loads((root / "draft" / place.name).read_text())["model"]["decoder"]
            told["model"]["draft"] = other | {"filename": "../draft/model.onnx"}
        place.write_text(json.dumps(told))
        self.model = onnxruntime_genai.Model(str(place.parent))

    def decode(self, request: Request, stops: list[int]) -> tuple[list[int], Any]:
        distribution, given = request.sampling, self.package.GeneratorParams(self.model)
        length, drawn = len(request.prompt_ids), not distribution.greedy
        seed = request.stream_seed % 2**31
        drawing = {"temperature": distribution.temperature, "top_k": 0, "random_seed": seed}
        most = length + request.max_new_tokens
        given.set_search_options(max_length=most, do_sample=drawn, **(drawing if drawn else {}))
        if self.most:
            ngrams = {"ngram_size": 3} if self.options.mode == "ngram" else {}
            given.set_speculative_options(max_draft_tokens=self.most, **ngrams)
        generator = self.package.Generator(self.model, given)
        generator.append_tokens(np.array([request.prompt_ids], dtype=np.int32))
        while not generator.is_done():
            generator.generate_next_token()
        told = generator.get_speculative_stats() if self.most else {}
        counts = [told.get(f"draft_tokens_{what}", 0) for what in ("proposed", "accepted")]
        tokens = [int(token) for token in generator.get_sequence(0)][length:]
        # It leaves the end of text out.
        tokens += stops[: len(tokens) < request.max_new_tokens]
        return tokens, DraftCounts(drafted=counts[0], accepted=counts[1])

    def close(self) -> None:
        self.folder.cleanup()
        super().close()
