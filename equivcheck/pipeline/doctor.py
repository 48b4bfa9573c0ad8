"""What holds on this machine: which identity contract, proved by which probes, and what it costs.

Opens the native engine as a run would and probes it more thoroughly. The probing itself is
`decoding/contract.py`; what the result looks like is below.
"""

from __future__ import annotations

from msgspec import Struct

from equivcheck.core.settings import Settings

TOKENS = 64
"""Positions per row over which the whole step is probed."""
NATIVE = "native"
DEFAULT_SPEC = "native:gamma=4"


class ProbeRow(Struct, frozen=True, kw_only=True):
    """One probed operation at one shape."""

    name: str
    shape: str
    differing: int
    """Token slots with at least one differing bit."""
    compared: int
    required: bool = True
    """Whether the contract hangs on it; if not, a difference costs time alone."""


class DoctorReport(Struct, frozen=True, kw_only=True):
    """What the doctor found."""

    engine: str
    pair: str
    device: str
    dtype: str
    threads: int
    contract: str | None
    """Name of the identity contract that holds; None: no promise is made here."""
    probes: tuple[ProbeRow, ...]
    step_seconds: float
    """Median wall time of one step at the shape that decodes."""
    narrow_seconds: float
    """The same with one token a row: what plain decoding would cost without the contract."""
    warnings: tuple[str, ...]
    environment: dict[str, str]

    @property
    def identity_tax(self) -> float:
        """How many times longer a one-token step takes at the shape that keeps the contract."""
        return self.step_seconds / self.narrow_seconds


def examine(settings: Settings) -> DoctorReport:
    """Probe the candidate's shape if it is native, else that of the native engine's default.

    Raises:
        EquivcheckError: the pair or the engine cannot be loaded.
    """
    from equivcheck.capture.environment import fingerprint
    from equivcheck.decoding.contract import probe_contract
    from equivcheck.engines.limits import inner
    from equivcheck.engines.native import NativeEngine
    from equivcheck.engines.registry import load_engine
    from equivcheck.engines.timing import step_seconds

    spec = settings.candidate
    if spec.partition(":")[0] != NATIVE:
        spec = DEFAULT_SPEC
    opened = load_engine(spec, settings.setup)
    engine = inner(opened)
    assert isinstance(engine, NativeEngine)
    try:
        rows = settings.setup.batch_size
        report = probe_contract(
            engine.model, rows=rows, width=engine.width, tokens=TOKENS, operations=True
        )
        capabilities = engine.capabilities
        return DoctorReport(
            engine=capabilities.engine,
            pair=settings.setup.pair,
            device=report.device,
            dtype=report.dtype,
            threads=report.threads,
            contract=report.contract,
            probes=tuple(
                ProbeRow(
                    name=probe.name,
                    shape=probe.shape,
                    differing=probe.differing,
                    compared=probe.compared,
                    required=probe.required,
                )
                for probe in report.probes
            ),
            step_seconds=step_seconds(engine.model, rows=rows, width=engine.plain_width),
            narrow_seconds=step_seconds(engine.model, rows=rows, width=1),
            warnings=engine.pair.warnings,
            environment=fingerprint(),
        )
    finally:
        opened.close()


def lines_of(diagnosis: DoctorReport) -> list[str]:
    """The diagnosis as plain lines, what holds first."""
    from equivcheck.core.escape import visible
    from equivcheck.report.layout import columns

    broken = [probe for probe in diagnosis.probes if probe.differing and probe.required]
    holds = f"identity holds here: {diagnosis.contract}"
    fails = "no identity contract holds here: near ties will need their budget"
    rows = [
        (
            "✗ differs" if probe.differing else "✓ same bits",
            probe.name,
            f"{probe.differing:,} of {probe.compared:,} differ",
            probe.shape,
        )
        for probe in diagnosis.probes
    ]
    return [
        fails if diagnosis.contract is None else holds,
        f"{diagnosis.engine} · {visible(diagnosis.pair)} · {diagnosis.dtype} · "
        f"{diagnosis.device} · threads {diagnosis.threads}",
        *([f"broken by: {', '.join(probe.name for probe in broken)}"] if broken else []),
        "",
        *columns([("", "probe", "token slots", "shape"), *rows], last_cells=60),
        "",
        f"identity tax: a step takes {diagnosis.identity_tax:.2f} times as long as with one token "
        f"a row ({1e3 * diagnosis.step_seconds:.2f} ms to {1e3 * diagnosis.narrow_seconds:.2f} ms)",
        *(f"warning: {visible(warning)}" for warning in diagnosis.warnings),
        " · ".join(f"{name} {visible(value)}" for name, value in diagnosis.environment.items()),
    ]
