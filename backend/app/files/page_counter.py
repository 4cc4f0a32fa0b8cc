"""Counting PDF pages in child processes that can be killed; what they run is `pdf_pages`."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from app.errors import TooBusy
from app.files import pdf_pages
from app.files.pdf_pages import NotAPdf

MEMORY_LIMIT = 1024**3
"""Bytes of address space for one child."""


class PageCounter:
    """A few child processes, started when first needed and replaced when one had to be killed."""

    def __init__(self, workers: int = 2, seconds: float = 10.0, waiting: int = 64) -> None:
        """Start nothing yet.

        Args:
            workers: number of children.
            seconds: how long one count may take.
            waiting: number of callers that may wait for a child.
        """
        self.seconds = seconds
        self._children = [_Child() for _ in range(workers)]
        self._idle = list(self._children)
        self._free = asyncio.Semaphore(workers)
        self._places = workers + waiting

    async def count(self, path: Path) -> int:
        """Return the number of pages of the PDF at `path`.

        Raises:
            NotAPdf: it can't be read, or not in the time and memory allowed.
            TooBusy: too many callers are waiting.
        """
        if not self._places:
            raise TooBusy
        self._places -= 1
        try:
            async with self._free:
                return await self._count(path)
        finally:
            self._places += 1

    async def _count(self, path: Path) -> int:
        """Ask an idle child."""
        child = self._idle.pop()
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
        finally:
            self._idle.append(child)
        if "pages" not in answer:
            raise NotAPdf(str(answer.get("error")))
        return int(answer["pages"])

    async def close(self) -> None:
        """End the children."""
        for child in self._children:
            await child.kill()


class _Child:
    """A child process; started at the first question, and again after it was killed."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, path: Path) -> dict[str, int | str]:
        """Return the answer to one path.

        Raises:
            EOFError: the child ended instead.
        """
        process = self._process = self._process or await self._start()
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        process.stdin.write(json.dumps(str(path)).encode() + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise EOFError
        answer: dict[str, int | str] = json.loads(line)
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
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
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
