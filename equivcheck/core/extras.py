"""Which packages come with which extra, and the line that installs one that is missing."""

from __future__ import annotations

from importlib.util import find_spec

TORCH = "torch"
NOT_INSTALLED = "not installed"
"""What the record of a run's environment says of torch where there is none."""

EXTRAS = {
    "accelerate": "native",
    "datasets": "datasets",
    "gguf": "native",
    "mlflow": "mlflow",
    "openvino": "openvino",
    "openvino_genai": "openvino",
    "ray": "ray",
    "torch": "native",
    "vllm": "vllm",
}
"""Name of a module to the extra of `pyproject.toml` that brings it."""


def has_torch() -> bool:
    """Whether this process could load the pair's weights. Loads nothing."""
    return find_spec(TORCH) is not None


def how_to_install(module: str) -> str:
    """The command that installs a module, which may be dotted: ``pip install ...``."""
    package = module.partition(".")[0]
    if extra := EXTRAS.get(package):
        return f"pip install 'equivcheck[{extra}]'"
    return f"pip install {package}"


def missing(error: ModuleNotFoundError) -> str | None:
    """What to say of a package that an extra brings and that is not there; None: it is no such."""
    name = (error.name or "").partition(".")[0]
    if name not in EXTRAS:
        return None
    return f"this needs {name}, which is not installed; try: {how_to_install(name)}"
