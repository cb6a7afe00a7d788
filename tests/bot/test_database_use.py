"""The database transactions that a drawing needs between its command and the GPU thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import event

from bot.workers.gpu_thread import GpuThread
from photomaker_core.serving.runner import ImageJob, Publish
from tests.support.server import Server, click, upload

MOST_TRANSACTIONS = 4


@dataclass
class DatabaseUse:
    """What the bot asked of its database until a drawing was handed to the GPU thread."""

    transactions: int = 0
    statements: list[str] = field(default_factory=list)
    is_counting: bool = True


@contextmanager
def counted(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseUse]:
    use = DatabaseUse()
    engine = server.bot.database._engine.sync_engine
    submit = GpuThread.submit

    def begin(_connection: object) -> None:
        use.transactions += use.is_counting

    def execute(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if use.is_counting and not statement.startswith("BEGIN"):
            use.statements.append(statement)

    def submitted(gpu: GpuThread, drawing: ImageJob, publish: Publish) -> None:
        use.is_counting = False
        submit(gpu, drawing, publish)

    event.listen(engine, "begin", begin)
    event.listen(engine, "before_cursor_execute", execute)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(GpuThread, "submit", submitted)
            yield use
    finally:
        event.remove(engine, "begin", begin)
        event.remove(engine, "before_cursor_execute", execute)
    assert not use.is_counting, "nothing was drawn"


@pytest.mark.parametrize("options", [{}, {"identity": "newton"}], ids=str)
async def test_an_imagine_needs_few_transactions(
    server: Server, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    await server.add(server.ada, "newton", upload(1), upload(2))
    with counted(server, monkeypatch) as use:
        await server.command(server.ada, "imagine", prompt="a man img", **options)
    assert use.transactions <= MOST_TRANSACTIONS, use.statements
    assert len(use.statements) <= 11, use.statements
    assert sum("server_rules" in one for one in use.statements) == 1
    assert sum("member_preferences" in one for one in use.statements) == 1


async def test_a_mix_reads_its_people_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate("abcd"):
        await server.add(server.ada, name, upload(number))
    with counted(server, monkeypatch) as two:
        await server.command(server.ada, "mix", id1="a", id2="b")
    with counted(server, monkeypatch) as four:
        await server.command(server.ada, "mix", id1="a", id2="b", id3="c", id4="d")
    before_features = [
        sum("FROM identities" in one and "EXISTS" in one for one in use.statements) for use in (two, four)
    ]
    assert before_features == [1, 1]


async def test_a_button_needs_no_more_than_a_command(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.add(server.ada, "newton")
    first = await server.command(server.ada, "imagine", prompt="a man img")
    with counted(server, monkeypatch) as use:
        await click(server, server.ada, first, "Again")
    assert use.transactions <= MOST_TRANSACTIONS + 1, "one more finds the job of the message"
