"""Counting PDF pages in child processes that can be killed; what they run is `pdf_pages`."""

import asyncio
import contextlib
import json
import logging
import sys
from collections import deque
from pathlib import Path

from app.errors import TooBusy
from app.files import pdf_pages
from app.files.pdf_pages import NotAPdf

MEMORY_LIMIT = 1024**3
"""Bytes of address space for one child."""
START_SECONDS = 60.0
"""How long a child may take until it is ready: a busy machine's time, which no document is blamed for."""

logger = logging.getLogger("app")


class PageCounter:
    """A few child processes, started when first needed and replaced when one had to be killed.

    One count at a time is done for a user, and users who wait are served in turn: the slow documents of one delay
    those of others by one count each, not by all of them.
    """

    def __init__(self, workers: int = 2, seconds: float = 10.0, waiting: int = 64, patience: float = 15.0) -> None:
        """Start nothing yet.

        Args:
            workers: number of children.
            seconds: how long one count may take, by a child that is ready.
            waiting: number of callers that may wait for a child.
            patience: how long a caller waits for a child, in seconds.
        """
        self.seconds = seconds
        self.patience = patience
        self._children = [_Child() for _ in range(workers)]
        self._idle = list(self._children)
        self._places = waiting
        self._served: set[str] = set()
        """The users for whom a child counts."""
        self._queues: dict[str, deque[asyncio.Future[_Child]]] = {}
        """The callers that wait, by user; the user who is served next comes first."""

    async def count(self, path: Path, user: str = "") -> int:
        """Return the number of pages of the PDF at `path`, asked for by a user.

        Raises:
            NotAPdf: it can't be read, or not in the time and memory allowed.
            TooBusy: too many callers are waiting, for too long, or no child could be started.
        """
        child = await self._wait_for_child(user)
        try:
            return await self._count(child, path)
        finally:
            self._give_back(user, child)

    async def _count(self, child: "_Child", path: Path) -> int:
        """Ask a child."""
        try:
            await child.start()
        except (EOFError, OSError) as error:
            # No descriptor, process, memory or time left: that says nothing about the document.
            logger.warning("No process could be started to count the pages of a PDF: %s", error or type(error).__name__)
            raise TooBusy from None
        try:
            async with asyncio.timeout(self.seconds):
                answer = await child.ask(path)
        except (TimeoutError, EOFError, OSError):
            await child.kill()
            raise NotAPdf("This PDF takes too long or too much memory to read.") from None
        except BaseException:
            # Cancelled between question and answer: the answer would be taken for the next question's.
            await child.kill()
            raise
        if "pages" not in answer:
            raise NotAPdf(str(answer.get("error")))
        return int(answer["pages"])

    # ── queues ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _wait_for_child(self, user: str) -> "_Child":
        """Return a child once the user is served; `_give_back` returns it."""
        future: asyncio.Future[_Child] = asyncio.get_running_loop().create_future()
        is_free = self._idle and user not in self._served
        if not is_free and sum(map(len, self._queues.values())) >= self._places:
            self._make_place(user)
        self._queues.setdefault(user, deque()).append(future)
        self._serve()
        try:
            async with asyncio.timeout(self.patience):
                return await future
        except BaseException as error:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(user, future.result())  # it came just as the caller gave up
            else:
                self._leave(user, future)
            if isinstance(error, TimeoutError):
                raise TooBusy from None
            raise

    def _make_place(self, user: str) -> None:
        """Send the last of the user away who has the most waiting; raise TooBusy if that is this very user."""
        longest = max(self._queues, key=lambda each: len(self._queues[each]), default=user)
        queue = self._queues.get(longest, deque())
        if len(queue) <= len(self._queues.get(user, ())) + 1:
            raise TooBusy
        queue[-1].set_exception(TooBusy())
        self._leave(longest, queue[-1])

    def _leave(self, user: str, future: "asyncio.Future[_Child]") -> None:
        queue = self._queues.get(user)
        if queue is not None and future in queue:
            queue.remove(future)
            if not queue:
                del self._queues[user]

    def _serve(self) -> None:
        """Give idle children to those whose turn it is."""
        while self._idle:
            user = next((user for user in self._queues if user not in self._served), None)
            if user is None:
                return
            queue = self._queues.pop(user)
            future = queue.popleft()
            if queue:
                self._queues[user] = queue  # behind all others
            if not future.done():
                self._served.add(user)
                future.set_result(self._idle.pop())

    def _give_back(self, user: str, child: "_Child") -> None:
        self._served.discard(user)
        self._idle.append(child)
        self._serve()

    async def close(self) -> None:
        """End the children."""
        for child in self._children:
            await child.kill()


class _Child:
    """A child process; started before the first question, and again after it was killed."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, path: Path) -> dict[str, int | str]:
        """Return the answer to one path.

        Raises:
            EOFError, OSError: the child ended instead.
        """
        process = self._process
        assert process is not None  # it was started
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        process.stdin.write(json.dumps(str(path)).encode() + b"\n")
        await process.stdin.drain()
        answer: dict[str, int | str] = json.loads(await _line_of(process.stdout))
        return answer

    async def start(self) -> None:
        """Start the program and wait until it is ready; nothing if it runs.

        Raises:
            EOFError, OSError: it can't be started, or not in time.
        """
        if self._process is not None:
            return
        process = await self._spawn()
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                await _line_of(process.stdout)
        except BaseException:
            await _end(process)
            raise
        self._process = process

    async def _spawn(self) -> asyncio.subprocess.Process:
        """Start the program by its path, so that nothing of the application is imported."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # its own directory holds modules of ours that must not stand in for others
            pdf_pages.__file__,
            str(MEMORY_LIMIT),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # Ctrl+C reaches the whole foreground group; the child ends when its standard input does.
            start_new_session=True,
        )

    async def kill(self) -> None:
        """End the process, if there is one, and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            await _end(process)


async def _line_of(output: asyncio.StreamReader) -> bytes:
    """Return the next line; raises EOFError if there is none."""
    line = await output.readline()
    if not line:
        raise EOFError
    return line


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
