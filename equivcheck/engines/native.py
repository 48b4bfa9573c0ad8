"""The project's own decoder as an engine: `native`.

PYTEST_DONT_REWRITE: this code is timed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from msgspec import structs

from equivcheck.core.detokenise import detokeniser
from equivcheck.core.engine import PHILOX_STREAM, Capabilities
from equivcheck.core.errors import EngineError, SettingsError
from equivcheck.core.generation import Generation, Request
from equivcheck.core.serving import ServingLimits
from equivcheck.core.settings import EngineSetup
from equivcheck.decoding.backends.choose import backend_for, own_kernels
from equivcheck.decoding.backends.interface import Backend
from equivcheck.decoding.contract import SHAPE_MULTIPLE, ContractReport, promisable
from equivcheck.decoding.decoder import Decoder
from equivcheck.decoding.drafters import Drafter
from equivcheck.decoding.gamma import AdaptiveGamma, GammaPolicy
from equivcheck.decoding.graphs import cost_of
from equivcheck.decoding.kernels.library import uncompiled
from equivcheck.decoding.kernels.needs import missing_for_kernels
from equivcheck.decoding.mixing import MixedGamma
from equivcheck.decoding.model import StaticModel
from equivcheck.decoding.prefill import chunk_on
from equivcheck.decoding.reaching import reaches
from equivcheck.engines.device import configure_arithmetic, load_setup
from equivcheck.engines.models import adopted, adopted_freely, found_reaches, probed, taxed
from equivcheck.engines.native_drafters import DrafterInfo, build_drafter
from equivcheck.engines.native_options import NativeOptions, rule_of
from equivcheck.engines.registry import decode_options
from equivcheck.engines.serving import refusal
from equivcheck.engines.timing import TRUNCATED, draft_cost
from equivcheck.serving.server import Server


def open_engine(options: Mapping[str, str], setup: EngineSetup) -> NativeEngine:
    """Load the pair and open the engine.

    Raises:
        SettingsError: an option is unknown or out of range.
        PairError: the pair cannot be loaded or run.
    """
    return NativeEngine(decode_options("native", options, NativeOptions), setup)


class NativeEngine:
    """Plain or speculative decoding on a shape-locked step."""

    def __init__(self, options: NativeOptions, setup: EngineSetup) -> None:
        self.options, self.setup = options, setup
        needed = options.gamma + 1
        if options.width is not None and options.width < needed:
            raise SettingsError(
                f"native: width={options.width} cannot verify gamma={options.gamma} drafts; "
                f"it takes at least {needed}"
            )
        configure_arithmetic(setup)
        self.pair = load_setup(setup)
        self.width = options.width or SHAPE_MULTIPLE * math.ceil(needed / SHAPE_MULTIPLE)
        positions = setup.context + max(chunk_on(self.pair.target.device), self.width)
        self.model, self.contract = self.promise(positions)
        self.decoder = self.build(self.model)
        if options.lag is not None:
            drafter = self.decoder.drafter
            if options.lag and drafter is not None and drafter.waits:
                raise SettingsError(
                    f"native: lag=1, but drafter={options.drafter} goes by the last step"
                )
            self.decoder.runner.lag = options.lag
        self.tax = (self.identity_tax(),) if self.contract.contract else ()

    def promise(self, positions: int) -> tuple[StaticModel, ContractReport]:
        """The target on the arithmetic asked for, and what was probed to hold there.

        Where the library's products break a contract that is offered at this width, the project's
        own take over if they can.
        """
        target, options = self.pair.target, self.options
        backend = backend_for(
            options.contract, device=target.device, dtype=target.dtype, kernels=options.kernels
        )
        model = self.adopt_target(positions, backend)
        report = self.probe(model)
        offered = promisable(model.backend, width=self.width)
        replaceable = self.options.kernels == "auto" and not model.backend.batch_invariant
        broken = report.contract is None and offered
        if broken and replaceable and not missing_for_kernels(target.device):
            own = self.adopt_target(positions, own_kernels())
            if (found := self.probe(own)).contract is not None:
                return own, found
        return model, report

    @property
    def plain_width(self) -> int:
        """Slots of a step without drafts: all of them where bits depend on how many there are."""
        return 1 if self.model.backend.batch_invariant else self.width

    def adopt_target(self, positions: int, backend: Backend) -> StaticModel:
        """The target, attending no further than it has to, where that leaves all bits alone."""
        target = self.pair.target
        lengths = reaches(positions)
        if promisable(backend, width=self.width):
            lengths = found_reaches(
                adopted(target, positions, backend),
                rows=self.setup.batch_size,
                width=self.width,
                threads=torch.get_num_threads(),
            )
        return adopted(target, positions, backend, reaches=lengths)

    def probe(self, model: StaticModel) -> ContractReport:
        """What holds at this engine's shape."""
        return probed(
            model,
            rows=self.setup.batch_size,
            width=self.width,
            threads=torch.get_num_threads(),
        )

    @property
    def capabilities(self) -> Capabilities:
        given = {
            option.name: getattr(self.options, option.name)
            for option in structs.fields(NativeOptions)
            if option.name == "gamma" or getattr(self.options, option.name) != option.default
        }
        return Capabilities(
            engine="native:" + ",".join(f"{name}={value}" for name, value in given.items()),
            device=self.contract.device,
            dtype=self.setup.dtype,
            threads=self.contract.threads,
            batch_size=self.setup.batch_size,
            num_speculative_tokens=self.options.gamma,
            rule=self.options.rule,
            sampled=self.options.rule != "greedy",
            reports_steps=True,
            reports_scores=True,
            reports_rejected=True,
            drafter=self.told.source,
            method=self.told.method,
            stateful_drafter=self.decoder.drafter is not None and self.decoder.drafter.stateful,
            random_stream=PHILOX_STREAM if self.options.rule != "greedy" else None,
            identity=self.contract.contract,
            serves=True,
            versions={"torch": str(torch.__version__)},
            notes=(*self.pair.warnings, *self.told.notes, *self.tax, *self.slowed),
        )

    @property
    def costs(self) -> tuple[str, ...]:
        """What decoding has cost beside its steps, so far: capturing graphs, on a GPU."""
        captured = cost_of(self.decoder.recorders)
        return () if captured is None else (captured,)

    @property
    def slowed(self) -> tuple[str, ...]:
        """What is missing for full speed on a device that could have it."""
        target = self.pair.target
        if target.device.type == "cuda":
            missing = missing_for_kernels(target.device)
        else:
            missing = uncompiled(target.dtype)
        if missing is None or self.options.kernels != "auto":
            return ()
        return (f"torch's kernels alone, since {missing}: small operations take their time",)

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        """Decode requests in a refilled batch."""
        for request in requests:
            self.check(request)
        yield from self.decoder.run(requests)

    def serve(self, limits: ServingLimits) -> Server:
        """Begin a service in the batch's rows."""
        kind: type[Server] = Server
        if self.options.fault:
            from equivcheck.faults.catalogue import find

            kind = find(self.options.fault).server
        return kind(self.decoder, limits, check=self.check)

    def ready(self, requests: Sequence[Request]) -> None:
        """Record ahead the steps that these requests will take, so that none waits for it."""
        self.decoder.ready(requests)

    def reset(self) -> None:
        """Have the drafter forget all earlier requests, as a new engine would not know them."""
        if self.decoder.drafter is not None:
            self.decoder.drafter.reset()

    def close(self) -> None:
        del self.decoder

    def check(self, request: Request) -> None:
        """Refuse what cannot be served as asked.

        Raises:
            EngineError: naming the request and what is out of range.
        """
        problem = refusal(
            request,
            vocab=self.model.architecture.vocab,
            context=self.setup.context,
            rule=self.options.rule,
        )
        if problem:
            raise EngineError(f"native: cannot serve {request.key}: {problem}")

    @torch.inference_mode()
    def identity_tax(self) -> str:
        """What the contract costs here: the locked step against a stock one-token step."""
        positions = self.model.key_positions.shape[0]
        stock = adopted_freely(self.pair.target, positions, kernels=self.options.kernels)
        return taxed(
            stock=stock,
            locked=self.model,
            rows=self.setup.batch_size,
            width=self.plain_width,
            threads=torch.get_num_threads(),
        )

    def build(self, model: StaticModel) -> Decoder:
        """Assemble the decoder, with a seeded fault if one was asked for."""
        kind: type[Decoder] = Decoder
        if self.options.fault:
            from equivcheck.faults.catalogue import find

            kind = find(self.options.fault).decoder

        def assemble(gamma: GammaPolicy) -> Decoder:
            return kind(
                model,
                rows=self.setup.batch_size,
                width=self.width,
                rule=rule_of(self.options.rule),
                drafter=self.drafter_for(model),
                gamma=gamma,
                eos_token_ids=self.pair.eos_token_ids,
                detokenise=detokeniser(self.pair.tokenizer),
                reads_together=self.contract.reads_together,
            )

        gamma = GammaPolicy(self.options.gamma)
        if self.options.adaptive or self.options.drafter == "mixed":
            # Of a decoder of its own: steps that were recorded to be timed are not replayed.
            gamma = self.measured_gamma(assemble(gamma))
        return assemble(gamma)

    def drafter_for(self, model: StaticModel) -> Drafter | None:
        """The drafter; None: nothing is drafted."""
        if not self.options.gamma:
            self.told = DrafterInfo(None, None)
            return None
        rows = self.setup.batch_size
        drafter, self.told = build_drafter(self.options, self.pair, model, rows=rows)
        return drafter

    def measured_gamma(self, decoder: Decoder) -> GammaPolicy:
        """A policy that goes by what drafts cost on a decoder; its own where it drafts nothing."""
        if decoder.drafter is None:
            return decoder.gamma
        most = self.options.gamma
        sampled = self.options.rule != "greedy"
        truncated = draft_cost(decoder, most=most, features=TRUNCATED) if sampled else None
        cost = draft_cost(decoder, most=most)
        if self.options.drafter == "mixed":
            looked_up = draft_cost(decoder, most=most, unread=0)
            return MixedGamma(
                most,
                cost=cost,
                truncated_cost=truncated,
                lookup_cost=looked_up,
                may_pause=self.options.adaptive,
            )
        return AdaptiveGamma(most, cost=cost, truncated_cost=truncated)
