"""Fetch a model from the Hugging Face hub into its own cache: safetensors and text files only.

An unreachable hub is no obstacle where the snapshot is already in the cache.
"""

from __future__ import annotations

from pathlib import Path

from equivcheck.core.errors import PairError
from equivcheck.core.escape import first_line, visible
from equivcheck.pairs.sources import ModelSource

WEIGHTS = "*.safetensors"
WANTED = ["*.json", WEIGHTS, "*.model", "*.txt", "*.jinja"]
UNWANTED = ["*/*", "consolidated*", "*.fp16.*", "*.bf16.*"]


def fetch_snapshot(source: ModelSource, *, weights: bool = True) -> Path:
    """The local folder of a hub model, without its weights unless they are asked for.

    Raises:
        PairError: the hub has no such model or revision, will not give it, or cannot be reached.
    """
    import httpx
    from huggingface_hub import HfApi, errors, snapshot_download

    label = visible(source.label)
    try:
        folder = Path(
            snapshot_download(
                source.location,
                revision=source.revision,
                allow_patterns=WANTED if weights else [each for each in WANTED if each != WEIGHTS],
                ignore_patterns=UNWANTED,
            )
        )
        if not weights or any(folder.glob(WEIGHTS)):
            return folder
        names = HfApi().list_repo_files(source.location, revision=source.revision)
    except errors.GatedRepoError as error:
        raise PairError(
            f"{label}: the hub gives this model only to users who accepted its terms; accept them "
            f"there and log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise PairError(f"{label}: the hub has this model, but not this revision") from error
    except errors.RepositoryNotFoundError as error:
        raise PairError(
            f"{label}: no such model on the hub, or a private one; and no such folder here"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, httpx.TransportError) as e:
        raise PairError(
            f"{label}: the hub cannot be reached and the model is not in its cache; name a local "
            f"folder, or a known pair such as `tiny`"
        ) from e
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise PairError(f"{label}: the hub refused: {first_line(error)}") from error
    pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth"))]
    if pickles:
        raise PairError(
            f"{label} has only a pickle checkpoint ({visible(pickles[0])}): reading one runs any "
            f"code that is in it, so it is refused; look for a revision with safetensors "
            f"({source.location}@refs/pr/N), or convert it yourself"
        )
    raise PairError(f"{label} has no weights: no *.safetensors among its {len(names)} files")
