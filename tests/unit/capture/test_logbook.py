"""The logbook: every answer written once, failures beside them, progress told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from equivcheck.capture.logbook import Logbook
from equivcheck.capture.plan import Plan, make_plan
from equivcheck.core.cases import Case
from equivcheck.core.engine import Capabilities
from equivcheck.core.errors import EngineError
from equivcheck.core.generation import Generation, Request, TokenScore
from equivcheck.core.on_progress import OnProgress
from equivcheck.core.settings import EngineSetup, Settings
from equivcheck.records.records import CANDIDATE, REPEAT, TARGET, Evidence, Header
from equivcheck.records.records_file import RecordsWriter, read_evidence
from tests.unit.make import make_capabilities, make_generation, make_header, suite_of

SETTINGS = Settings(setup=EngineSetup(batch_size=4), control=None)
SUITE = suite_of(tuple(Case(id=name, prompt="p", stop=("cd",)) for name in "abcd"))
OpenBook = Callable[..., Logbook]
LETTERS = dict(enumerate("abcdefghij"))


def answer_to(request: Request, tokens: Sequence[int]) -> Generation:
    return make_generation(tokens, key=request.key, prompt_tokens=len(request.prompt_ids))


class Letters:
    """Answers every request with the same tokens; fails on keys it does not like."""

    def __init__(
        self, *, told: Capabilities | None = None, dislikes: str = "", tokens: str = "abc"
    ) -> None:
        self.told, self.dislikes = told or make_capabilities(identity="x"), dislikes
        self.tokens = tuple("abcdefghij".index(letter) for letter in tokens)
        self.asked: list[str] = []

    @property
    def capabilities(self) -> Capabilities:
        return self.told

    def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
        for request in requests:
            self.asked.append(request.key)
            if request.key[-1] in self.dislikes:
                raise EngineError(f"cannot serve {request.key}")
            yield answer_to(request, self.tokens)

    def close(self) -> None:
        self.asked.clear()


def detokenise(token_ids: Sequence[int]) -> str:
    return "".join(LETTERS[token] for token in token_ids)


def plan_and_header() -> tuple[Plan, Header]:
    plan = make_plan(SETTINGS, [SUITE], encode=lambda case: [1])
    arms = dict.fromkeys(plan.planned, make_capabilities())
    return plan, make_header(arms=arms, planned=plan.planned, settings=SETTINGS, vocab_size=10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


@pytest.fixture
def open_book(path: Path) -> Iterator[OpenBook]:
    """Opens the run's logbook, each time as a resumed run would."""
    with ExitStack() as files:

        def opened(*, progress: OnProgress | None = None) -> Logbook:
            files.close()
            plan, header = plan_and_header()
            writer, evidence = RecordsWriter.resume(path, header)
            files.enter_context(writer)
            return Logbook(plan, evidence, writer=writer, detokenise=detokenise, progress=progress)

        yield opened


def read(path: Path) -> Evidence:
    return read_evidence(path)


def test_an_answer_is_written_with_its_text_and_stop(path: Path, open_book: OpenBook) -> None:
    book = open_book()
    book.put(Letters(tokens="abcdea"), book.plan.others[0], arm=TARGET)
    found = read(path).captured[TARGET]["code/b"]
    assert (found.text, found.stop_completed_at, found.stop_began_at) == ("abcdea", 3, 2)
    assert list(read(path).asked) == ["code/a", "code/b", "code/c", "code/d"]


def test_ids_outside_the_vocabulary_are_kept_but_not_decoded(
    path: Path, open_book: OpenBook
) -> None:
    class Wild(Letters):
        def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
            for request in requests:
                yield answer_to(request, (0, 1, 2, 3, 777))

    book = open_book()
    book.put(Wild(), book.plan.probes[0], arm=TARGET)
    found = read(path).captured[TARGET]["code/a"]
    assert (found.text, found.stop_completed_at) == ("abcd", None)
    assert found.generation.token_ids[-1] == 777


def test_what_is_answered_is_not_asked_again(open_book: OpenBook) -> None:
    book = open_book()
    book.put(Letters(dislikes="c"), book.plan.others[0], arm=CANDIDATE)
    assert book.missing(CANDIDATE) == {"code/a", "code/c"}
    engine = Letters()
    resumed = open_book()
    resumed.put(engine, resumed.plan.others[0], arm=CANDIDATE)
    assert engine.asked == ["code/c"]
    assert resumed.missing(CANDIDATE) == {"code/a"}


def test_an_engine_that_minds_its_company_gets_an_interrupted_chunk_whole(
    path: Path, open_book: OpenBook
) -> None:
    book = open_book()
    book.put(Letters(dislikes="c"), book.plan.others[0], arm=CANDIDATE)
    engine = Letters(told=make_capabilities(identity=None, batch_size=4))
    resumed = open_book()
    resumed.put(engine, resumed.plan.others[0], arm=CANDIDATE)
    assert engine.asked == ["code/b", "code/c", "code/d"]
    assert set(read(path).captured[CANDIDATE]) == {"code/b", "code/c", "code/d"}


def test_an_arm_is_asked_only_what_is_planned_for_it(open_book: OpenBook) -> None:
    book, engine = open_book(), Letters()
    for chunk in book.plan.chunks:
        book.put(engine, chunk, arm=REPEAT)
    assert engine.asked == ["code/a"]


def test_failures_are_written_and_do_not_count_as_answers(path: Path, open_book: OpenBook) -> None:
    book = open_book()
    book.put(Letters(dislikes="bd"), book.plan.others[0], arm=TARGET)
    failures = [(each.arm, each.key, each.message) for each in read(path).failures]
    assert failures == [
        (TARGET, "code/b", "cannot serve code/b"),
        (TARGET, "code/d", "cannot serve code/d"),
    ]


def test_an_answer_that_would_not_read_back_is_a_failure(path: Path, open_book: OpenBook) -> None:
    class NotANumber(Letters):
        def generate(self, requests: Sequence[Request]) -> Iterator[Generation]:
            for answer in super().generate(requests):
                score = TokenScore(logprob=float("nan"), rival=1, rival_logprob=-1.0)
                yield msgspec.structs.replace(answer, scores=(score,) * 3)

    book = open_book()
    book.put(NotANumber(), book.plan.probes[0], arm=TARGET)
    (failure,) = read(path).failures
    assert failure.key == "code/a"
    assert "scores[0] is nan, -1.0: not finite" in failure.message
    assert not read(path).captured[TARGET]


def test_progress_counts_answers_and_failures_of_all_arms(open_book: OpenBook) -> None:
    told: list[tuple[str, int, int]] = []
    book = open_book(progress=lambda *step: told.append(step))
    book.put(Letters(dislikes="c"), book.plan.others[0], arm=CANDIDATE)
    assert told == [("generating", 1, 10), ("generating", 2, 10), ("generating", 3, 10)]


def test_an_arm_that_says_nothing_at_all_is_an_error(open_book: OpenBook) -> None:
    book = open_book()
    for chunk in book.plan.chunks:
        book.put(Letters(), chunk, arm=TARGET)
        book.put(Letters(dislikes="abcd"), chunk, arm=CANDIDATE)
    with pytest.raises(
        EngineError,
        match=r"^candidate \(native:gamma=0\) answered none of 4 cases; of code/a it says: cannot",
    ):
        book.refuse_silence()
    spoken = open_book()
    spoken.put(Letters(), spoken.plan.others[0], arm=CANDIDATE)
    spoken.refuse_silence()
