"""What somebody types who wants to break something, read by every parser that a member's text reaches.

``TEXTS=100000 pytest -s tests/bot/test_text_fuzzing.py`` reads a hundred thousand with each of them and says how far it
is; ``FUZZ_SEED`` chooses which, ``FIRST_TEXT`` goes on from a number.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from random import Random
from types import FrameType
from typing import Any

import pytest

from bot.cogs.mix import shares_of
from bot.cogs.options import person_in
from bot.domain.draw_request import DrawOptions, DrawRequest, WeightedIdentity, checked_prompt, checked_request
from bot.domain.identity_names import checked_name, shown
from bot.domain.lora_choice import chosen_loras, lora_text, suggested_loras
from bot.domain.member_text import block_quote, code_span, escaped, first_word_in, folded, quoted
from bot.domain.minor_protection import check_minors
from bot.domain.places import regions_of
from bot.domain.several_people import LAYOUT_NAMES, people_in
from bot.domain.stored_settings import usable_request
from bot.presentation import messages
from bot.presentation.errors import sentence_of
from photomaker_core.conditioning.prompt_chunks import lay_out, prompt_parts, read_words
from photomaker_core.conditioning.prompt_weights import weighted_texts
from photomaker_core.conditioning.trigger_placement import DEFAULT_TRIGGER_WORD
from photomaker_core.errors import UserError
from photomaker_core.images.photo_decoding import prepare_photo, too_large
from photomaker_core.loading.photomaker import PhotoMaker
from tests.support import uploads
from tests.support.draw_requests import WITH_TURBO
from tests.support.mutation import typed_text

TEXTS = int(os.environ.get("TEXTS", "25"))
FIRST = int(os.environ.get("FIRST_TEXT", "0"))
SEED = os.environ.get("FUZZ_SEED", "0")
TOLD_EVERY = 1000
MOST_CPU_S = 2.0
MOST_OPTION = 6000
"""Discord takes options of so many characters."""
MOST_FILE_NAME = 260
ADA = (WeightedIdentity(1, "ada"),)
TRIO = tuple(WeightedIdentity(number, name) for number, name in enumerate(("ada", "bob", "cleo"), start=1))
LORAS = ("papercut", "ink 2.0", "a:b", "Straße")
MAX_CHUNKS = 4
PHOTO = uploads.encoded(uploads.picture(64, 64))
ID_TOKENS = 2

Reader = Callable[[Random, PhotoMaker], None]


def text(random: Random, most: int = MOST_OPTION) -> str:
    """A text as Discord hands it over: JSON in UTF-8 holds no half of a surrogate pair."""
    return typed_text(random, most).encode("utf-8", "replace").decode()


def prompt(random: Random) -> str:
    """Mostly of a length that is taken."""
    return text(random, random.choice((200, 200, 1000, MOST_OPTION)))


def _tell(request: DrawRequest) -> None:
    """Every message about a request fits Discord and can be sent."""
    _check_message(messages.result(request, request.prompt))
    _check_message(messages.own_job(request, "next"))
    _check_message(messages.drawing(request, 1, 3, 2.0))


def _check_message(told: str) -> None:
    assert 0 < len(told) <= messages.MESSAGE_LIMIT, f"a message of {len(told)} characters"
    told.encode()


def _stored(request: DrawRequest) -> DrawRequest:
    read = DrawRequest.from_json(json.loads(json.dumps(request.to_json())))
    assert read == request
    return read


def _tokenise(request: DrawRequest, model: PhotoMaker) -> None:
    styled, negative = request.styled()
    check_minors(styled, negative)
    parts = prompt_parts(weighted_texts(styled), DEFAULT_TRIGGER_WORD)
    counts = [ID_TOKENS] * sum(part.names_person for part in parts)
    for tokenizer in model.base.text.tokenizers:
        layout = lay_out(tokenizer, read_words(tokenizer, parts), counts, MAX_CHUNKS)
        assert all(len(chunk) == tokenizer.length for chunk in layout.chunks)
        lay_out(tokenizer, read_words(tokenizer, prompt_parts(weighted_texts(negative or ""))), [], MAX_CHUNKS)


def read_prompt(random: Random, model: PhotoMaker) -> None:
    options = DrawOptions(prompt(random), negative=prompt(random) if random.random() < 0.3 else None)
    request = _stored(checked_request(options, ADA, WITH_TURBO, seed=1))
    _tell(request)
    _tokenise(request, model)


def read_prompt_of_several(random: Random, model: PhotoMaker) -> None:
    people = TRIO[: random.choice((1, 2, 3))]
    layout = random.choice((*LAYOUT_NAMES, text(random, 30)))
    options = DrawOptions(prompt(random), layout=layout)
    request = _stored(checked_request(options, people, WITH_TURBO, seed=1))
    assert people_in(request.prompt) == len(people)
    _tell(request)
    _tokenise(request, model)


def read_options(random: Random, _model: PhotoMaker) -> None:
    """Choices are texts too: a client may send any."""
    named = {name: text(random, 40) for name in ("style", "aspect", "quality") if random.random() < 0.4}
    checked_request(DrawOptions("a man img", **named), ADA, WITH_TURBO, seed=1)  # type: ignore[arg-type]


def read_loras(random: Random, _model: PhotoMaker) -> None:
    between = (":", ":1", ":0.5 ", ":nan", ",", " + ", text(random, 12))
    pieces = [random.choice(LORAS) + random.choice(between) for _ in range(random.choice((1, 2, 3, 900)))]
    typed = text(random) if random.random() < 0.2 else "".join(pieces)[:MOST_OPTION]
    suggested_loras(typed, LORAS)
    found = chosen_loras(typed, LORAS)
    assert all(name in LORAS for name, _ in found)
    assert [name for name, _ in chosen_loras(lora_text(found), LORAS)] == [name for name, _ in found]


def read_shares(random: Random, _model: PhotoMaker) -> None:
    pieces = [
        random.choice(("0", "1", "50", "30%", "1e308", "nan", "inf", "-1", "1_0", "٣", text(random, 6))) for _ in "ab"
    ]
    shares = shares_of(2, None, text(random) if random.random() < 0.5 else " ".join(pieces))
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in shares)


def read_name(random: Random, _model: PhotoMaker) -> None:
    typed = text(random, 60)
    person_in(typed)
    name = checked_name(typed)
    assert checked_name(name) == name
    _check_message(shown(name))
    _check_message(code_span(f"/imagine identity: {name}"))
    _tell(checked_request(DrawOptions("a man img"), (WeightedIdentity(1, name),) * 4, WITH_TURBO, seed=1))


def read_kept_prompt(random: Random, _model: PhotoMaker) -> None:
    kept = checked_prompt(prompt(random))
    assert checked_prompt(kept) == kept
    people_in(kept)
    check_minors(kept)


def read_blocked_words(random: Random, _model: PhotoMaker) -> None:
    words = [text(random, 60) for _ in range(3)]
    typed = text(random, 1000)
    first_word_in(words, [typed, typed])
    if folded(words[0]):
        assert first_word_in(words[:1], words[:1]) == words[0]


def read_report(random: Random, _model: PhotoMaker) -> None:
    reason = text(random, 1500)
    _check_message(block_quote(reason, 1500))
    assert len(quoted(reason, 250)) <= 250
    escaped(reason).encode()


def read_file_name(random: Random, _model: PhotoMaker) -> None:
    name = text(random, MOST_FILE_NAME)
    _check_message(sentence_of(too_large(name)))
    prepare_photo(random.choice((b"", b"GIF89a", b"\x89PNG", PHOTO)), name)


def read_stored_request(random: Random, _model: PhotoMaker) -> None:
    """JSON of the database that somebody, or another version, has changed."""
    options = DrawOptions("a man img and a woman img", layout="automatic")
    content = checked_request(options, TRIO[:2], WITH_TURBO, seed=1).to_json()
    values: tuple[Any, ...] = (
        None, True, -1, 0, 1, 2**63, 10**400, float("nan"), float("inf"), -0.0, [], {}, [[]], [None], "", "nan",
        [["ink", 1e999]], [{"identity_id": "1", "name": text(random, 20)}], ["0" * 256], ["-" * 255], text(random, 50),
    )  # fmt: skip
    for name in random.sample(sorted(content), random.randrange(1, 4)):
        if random.random() < 0.2:
            del content[name]
        else:
            content[name] = random.choice(values)
    request = usable_request(DrawRequest.from_json(content), WITH_TURBO)
    json.dumps(request.to_json())
    _tell(request)
    regions_of(request)
    assert all(one.steps >= 1 for one in request.settings(512))
    assert {one.name for one in fields(request)} <= set(request.to_json())


READERS: dict[str, Reader] = {
    reader.__name__.removeprefix("read_"): reader
    for reader in (
        read_prompt, read_prompt_of_several, read_options, read_loras, read_shares, read_name, read_kept_prompt,
        read_blocked_words, read_report, read_file_name, read_stored_request,
    )
}  # fmt: skip


@contextmanager
def at_most(cpu_s: float) -> Iterator[None]:
    """Raise :class:`TimeoutError` in work that takes more of the processor's time."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {cpu_s} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.timeout(60 + TEXTS)
@pytest.mark.parametrize("kind", READERS)
def test_whatever_is_typed_is_read_or_told(kind: str, tiny_model: PhotoMaker) -> None:
    """An answer is a value or a sentence that fits a message; any other error and two seconds of work are findings."""
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    slowest = 0.0
    for number in range(FIRST, FIRST + TEXTS):
        before = time.process_time()
        try:
            with at_most(MOST_CPU_S):
                READERS[kind](Random(f"{SEED}/{kind}/{number}"), tiny_model)
            outcomes["read"] += 1
        except UserError as error:
            outcomes[error.sentence] += 1
            _check_message(sentence_of(error))
        except Exception as error:
            findings.append(f"{number}: {error!r:.300}")
        slowest = max(slowest, time.process_time() - before)
        if (number + 1) % TOLD_EVERY == 0:
            print(f"{kind}: up to {number}, {len(findings)} findings, {slowest:.3f} s", flush=True)
    print(f"{kind}: {TEXTS} texts, {outcomes['read']} read, at most {slowest:.3f} s of processor time")
    assert not findings, "\n".join(findings[:20])
    assert outcomes["read"]
