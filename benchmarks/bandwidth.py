"""What the device's memory can do: large copies between two buffers on it.

    python -m benchmarks.bandwidth --out FILE

By CUDA events on a GPU, by the monotonic clock on a CPU. A record a buffer size, the median of the
copies, read and written bytes together. The floor of a plain step, in `equivcheck bench`, rests on
the same copy of one size.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from equivcheck.bench.clocks import clock_of
from equivcheck.bench.probing import copy_bandwidth
from equivcheck.core.settings import EngineSetup
from equivcheck.decoding.contract import device_name
from equivcheck.engines.device import choose_device

MEBIBYTES = {"cuda": (64, 256, 1024, 4096), "cpu": (64, 256)}
COPIES = 21


def measure(device: torch.device, sizes: Sequence[int]) -> Iterator[dict[str, object]]:
    """One record a buffer size, in MiB."""
    clock = clock_of(device)
    for mebibytes in sizes:
        found = copy_bandwidth(device, clock=clock, size=mebibytes * 2**20, copies=COPIES)
        yield {
            "device": device_name(device),
            "buffer_bytes": found.buffer_bytes,
            "bytes_per_second": found.bytes_per_second,
            "copies": COPIES,
            "clock": clock.name,
            "torch": str(torch.__version__),
        }


def main() -> None:
    """Measure, write the records anew, print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bandwidth")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    device = choose_device(EngineSetup(device=arguments.device))
    records = list(measure(device, MEBIBYTES[device.type]))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    arguments.out.write_text(lines, encoding="utf-8")
    for record in records:
        print(
            f"{float(str(record['bytes_per_second'])) / 1e9:,.1f} GB/s read and written, buffers "
            f"of {int(str(record['buffer_bytes'])) / 2**20:,.0f} MiB ({record['clock']})"
        )


if __name__ == "__main__":
    main()
