"""The chat: a message and its answer are kept together or not at all, and the four tests of its page for real."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient
from tests.demos.support import Json, client_of, running, wait_for

from demos.chat import talking, trials
from demos.chat.answers import echo
from demos.chat.application import create_app
from demos.chat.seed import seed
from demos.chat.tables import Chat, Message
from demos.main import main
from snaptable.testing import StoreFixture
from snaptable.web import Problem

BASE = "/api/v1/chat"


async def quick(history: Sequence[Message]) -> AsyncIterator[str]:
    """Yield an answer at once, in pieces."""
    yield "You said "
    yield history[-1].content


@pytest.fixture
def chat() -> Iterator[tuple[Chat, TestClient]]:
    """Give an empty chat, and a client of it."""
    app = create_app("memory:", answer=quick, model="quick")
    with client_of(app) as client:
        yield app.state.db, client


def send(client: TestClient, message: str, conversation_id: str | None = None) -> Json:
    """Send a message, and return what became of it."""
    answer = client.post(f"{BASE}/message", json={"message": message, "conversation_id": conversation_id})
    assert answer.status_code == 201, answer.text
    said: Json = answer.json()
    return said


def test_a_message_and_its_answer_are_one_commit(chat: tuple[Chat, TestClient]) -> None:
    """Ensure title, count and metadata, and that one commit holds the message, the answer and all of these."""
    db, client = chat
    first = send(client, "What is a frame?  " + "x" * 100)
    assert db.history.sequence == 1
    key = first["conversation"]["id"]
    assert first["conversation"]["title"] == ("What is a frame?  " + "x" * 100)[:60]
    second = send(client, "And a segment?", key)
    assert db.history.sequence == 2
    assert second["conversation"]["message_count"] == 4
    assert second["answer"]["content"] == "You said And a segment?"
    sources = [first["message"]["id"], first["answer"]["id"]]
    assert second["answer"]["metadata"] == {"model": "quick", "sources": sources}
    shown = client.get(f"{BASE}/conversation/{key}").json()
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"] * 2
    assert shown["conversation"] == second["conversation"]
    (listed,) = client.get(f"{BASE}/conversations").json()["items"]
    assert listed == shown["conversation"]
    assert talking.counts_hold(db)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"message": "x", "conversation_id": "nowhere"}, 404),
        ({"message": ""}, 422),
        ({"message": 1}, 422),
        ({"message": "x" * 20_001}, 422),
        ({"message": "x", "role": "assistant"}, 422),
        ({}, 422),
    ],
)
def test_what_is_refused_leaves_nothing(chat: tuple[Chat, TestClient], body: Json, status: int) -> None:
    """Ensure that no message is kept of what can't be answered."""
    db, client = chat
    assert client.post(f"{BASE}/message", json=body).status_code == status
    assert db.history.sequence == 0


def test_an_answer_that_fails_saves_nothing() -> None:
    """Ensure 502, and not even the message, if the model gives up in the middle."""

    async def failing(_history: Sequence[Message]) -> AsyncIterator[str]:
        yield "You"
        raise ConnectionError("the model is away")

    app = create_app("memory:", answer=failing)
    with client_of(app) as client:
        answer = client.post(f"{BASE}/message", json={"message": "Hello"})
        assert (answer.status_code, answer.json()["detail"]) == (
            502,
            "No answer came; nothing was kept. Send it again.",
        )
        assert "away" not in answer.text
        assert app.state.db.history.sequence == 0


def test_others_write_while_an_answer_takes_its_time() -> None:
    """Ensure that a slow answer holds no transaction, and that one to a conversation that is gone is not kept."""

    async def scenario() -> None:
        with Chat("memory:") as db:
            going = asyncio.Event()

            async def slow(history: Sequence[Message]) -> AsyncIterator[str]:
                await going.wait()
                yield history[-1].content

            key = (await talking.say(db, quick, "quick", None, "First")).conversation.id
            waiting = [asyncio.create_task(talking.say(db, slow, "slow", to, "Slow")) for to in (None, key)]
            await asyncio.sleep(0)
            for number in range(3):
                await asyncio.wait_for(talking.say(db, quick, "quick", None, f"Quick {number}"), 60)
            assert not any(task.done() for task in waiting)
            await db.run(talking.delete, key)
            going.set()
            assert (await waiting[0]).answer.content == "Slow"
            with pytest.raises(Problem) as refused:
                await waiting[1]
            assert refused.value.status_code == 404
            assert db.conversations.count() == 4
            assert talking.counts_hold(db)

    asyncio.run(scenario())


def test_the_echo_says_it_again() -> None:
    """Ensure that the default answer is the message, whatever blanks it has."""

    async def said(text: str) -> str:
        message = Message(id=0, conversation_id="", role="user", content=text)
        return "".join([part async for part in echo([message])])

    for text in ("Hello", "a  b", " ", "line\nline"):
        assert asyncio.run(said(text)) == f"You said: {text}"


def test_a_deleted_conversation_comes_back_whole(chat: tuple[Chat, TestClient]) -> None:
    """Ensure that Undo brings every message back, as often as one likes, and what it says where there is nothing."""
    db, client = chat
    key = send(client, "One")["conversation"]["id"]
    send(client, "Two", key)
    path = f"{BASE}/conversation/{key}"
    before = client.get(path).json()
    assert client.post(f"{path}/undo").status_code == 409
    for _ in range(2):
        assert client.delete(path).status_code == 204
        assert (client.get(path).status_code, client.delete(path).status_code) == (404, 404)
        assert db.messages.count() == 0
        back = client.post(f"{path}/undo")
        assert back.status_code == 200, back.text
        assert client.get(path).json() == before
    assert client.post(f"{BASE}/conversation/never/undo").status_code == 404


def test_no_crash_leaves_half_of_a_message(snaptable_store: StoreFixture) -> None:
    """Ensure in every state that a crash may leave that each message has its answer, and the counts are right."""
    store = snaptable_store(Chat)

    def talk(db: Chat) -> None:
        key = None
        for text in ("One", "Two"):
            with db.transaction():
                key = talking.keep(db, key, text, text, {}).conversation.id

    report = store.crash_everywhere(talk, check=talking.counts_hold, max_states=5)
    assert report.states.total() > 50


def test_without_a_supervisor_nothing_is_ended(chat: tuple[Chat, TestClient]) -> None:
    """Ensure that the routes that end the process are refused where nobody would start the next one."""
    _, client = chat
    for name in ("restart", "kill", "lose", "put-back"):
        assert client.post(f"/api/demo/{name}").status_code == 409
    assert client.get("/api/demo/state").json()["sound"] is True


def test_the_kill_comes_behind_the_first_message(
    chat: tuple[Chat, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ensure that however slow a machine is, something was told to be durable that may be lost."""
    events: list[str] = []

    class AtOnce(threading.Timer):
        """A timer whose time is up."""

        def start(self) -> None:
            events.append("killed")

    async def write() -> None:
        request = SimpleNamespace(url=SimpleNamespace(path="/api/demo/kill"))
        stream = trials._write_until_killed(chat[0], 0.5, request)  # type: ignore[arg-type]
        async for line in stream:
            events.append(line.decode().strip())
            if len(events) == 3:
                break
        await stream.aclose()  # type: ignore[attr-defined]

    monkeypatch.setattr("threading.Timer", AtOnce)
    asyncio.run(write())
    assert events == ["0", "killed", "1"]


def test_the_seed_is_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ensure that it fills an empty store, and that what it fills in is sound."""
    for _ in range(2):
        assert main(["chat", "seed", "--data-dir", str(tmp_path / "data")]) == 0
        assert "3 conversations, 12 messages" in capsys.readouterr().out
    with Chat("memory:") as db:
        seed(db)
        assert talking.counts_hold(db)


# ── the four tests, for real ────────────────────────────────────────────────────────────────────────────────────────


def state(http: httpx2.Client, unlike: int = 0) -> Json:
    """Return how the chat is doing, in another process than the one named."""
    found: Json = {}

    def is_there() -> bool:
        with suppress(httpx2.TransportError):
            found.update(http.get("/api/demo/state").json())
        return bool(found.get("pid", unlike) != unlike)

    wait_for(is_there)
    return found


def told_before_the_kill(http: httpx2.Client) -> int:
    """Have the server killed amid writes, and return how many it told to be durable."""
    told = b""
    with suppress(httpx2.TransportError), http.stream("POST", "/api/demo/kill") as response:
        for part in response.iter_bytes():
            told += part
    return told.count(b"\n")


def test_restart_kill_and_a_lost_file(tmp_path: Path) -> None:
    """Ensure that all is there after a restart, all that was told after a kill, and all after a backup was put back."""
    with (
        running("chat", "--data-dir", tmp_path / "data") as address,
        httpx2.Client(base_url=address, timeout=60) as http,
    ):
        first: dict[str, Any] = http.post("/api/demo/restart").json()
        second = state(http, unlike=first["pid"])
        assert (second["messages"], second["sound"]) == (first["messages"], True) == (12, True)

        told = told_before_the_kill(http)
        third = state(http, unlike=second["pid"])
        assert told > 0
        assert (third["messages"] - second["messages"]) // 2 in (told, told + 1)
        assert third["sound"] is True

        assert http.post("/api/demo/lose").status_code == 202
        empty = state(http, unlike=third["pid"])
        assert (empty["messages"], empty["conversations"]) == (0, 0)
        assert http.post("/api/demo/put-back").status_code == 202
        last = state(http, unlike=empty["pid"])
        assert (last["messages"], last["conversations"]) == (third["messages"], third["conversations"])
        assert last["sound"] is True
        assert "checksum" in last["file_end"]
