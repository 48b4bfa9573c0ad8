"""The connection to a Ray cluster, and how many shards it has room for; Ray loads when asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from equivcheck.core.errors import SettingsError, describe
from equivcheck.core.extras import how_to_install
from equivcheck.records.shards import MOST

LOCAL = "local"
"""In place of an address: this machine alone, for the length of the run."""


class Cluster(NamedTuple):
    """Where shards run, and what each gets."""

    address: str
    """As ``ray.init`` takes it, or `LOCAL`."""
    shards: int
    cpus: float = 1.0
    """Of each shard."""
    gpus: float = 0.0


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster for the length of a block.

    Raises:
        SettingsError: it is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise SettingsError(f"--ray: Ray is not installed; try: {how_to_install('ray')}") from error
    there = ray.is_initialized()
    if not there:
        try:
            ray.init(
                address=None if address == LOCAL else address,
                log_to_driver=False,
                logging_level="error",
                include_dashboard=False if address == LOCAL else None,
            )
        except ConnectionError as error:
            raise SettingsError(
                f"--ray {address}: {describe(error)}; `ray start --head` begins a cluster, "
                f"--ray={LOCAL} uses this machine alone"
            ) from error
    try:
        yield ray
    finally:
        if not there:
            ray.shutdown()


def room_for(ray: Any, *, cpus: float, gpus: float) -> int:
    """Shards that the machines of a cluster have room for at once.

    Raises:
        SettingsError: none of them has what a shard gets.
    """
    every = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(
        int(min(each.get("CPU", 0) // cpus, each.get("GPU", 0) // gpus if gpus else MOST))
        for each in every
    )
    if room:
        return room
    told = ", ".join(f"{each.get('CPU', 0):g} CPUs {each.get('GPU', 0):g} GPUs" for each in every)
    raise SettingsError(
        f"--ray: no machine of the cluster has room for a shard of {cpus:g} CPUs and {gpus:g} "
        f"GPUs; there are: {told or 'none'}"
    )
