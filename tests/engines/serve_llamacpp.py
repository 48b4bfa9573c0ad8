"""Run llama.cpp's own server (xllamacpp): ``serve_llamacpp.py MODEL PORT [DRAFTS]``.

DRAFTS is ``ngram`` or the GGUF file of a draft model. Where files hold float32, cache and attention
compute in it. Runs until it is ended; needs nothing of equivcheck.
"""

from __future__ import annotations

import os
import sys
import time

import xllamacpp as llama

GAMMA = 4


def main() -> None:
    """Serve."""
    model, port, *drafts = sys.argv[1:]
    given = llama.CommonParams()
    given.model.path = model
    given.hostnames, given.port = ["127.0.0.1"], int(port)
    given.n_ctx, given.n_parallel = 4096, 4
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
    given.endpoint_metrics, given.warmup = True, False
    given.cache_type_k = given.cache_type_v = llama.ggml_type.GGML_TYPE_F32
    given.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    kinds, speculative = llama.common_speculative_type, given.speculative
    if drafts == ["ngram"]:
        speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
        speculative.ngram_simple.size_n, speculative.ngram_simple.size_m = 3, GAMMA
        speculative.ngram_simple.min_hits = 1
    elif drafts:
        speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        speculative.draft.mparams.path = drafts[0]
        speculative.draft.n_max = GAMMA
        speculative.draft.cache_type_k = speculative.draft.cache_type_v = given.cache_type_k
    server = llama.Server(given)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()
