"""A small file of the admin page's beside the data: typed JSON, for its owner alone, replaced in one step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from snaptable.storage.disk import names
from snaptable.storage.disk.atomic_write import replace_durably
from snaptable.storage.disk.files import Files

ContentT = TypeVar("ContentT", bound=Mapping[str, object])
FORMAT = 1
"""What the member `format` of every such file is."""


class KeptFile(Generic[ContentT]):
    """A file of a name and a content that has a member `format`.

    Attributes:
        name: the file's name.
    """

    def __init__(self, name: str, content: type[ContentT], most_bytes: int) -> None:
        """Take the file's name, the type of its content, and the bytes that it may have."""
        self.name, self._most_bytes = name, most_bytes
        self._adapter: TypeAdapter[ContentT] = TypeAdapter(content)

    def read(self, directory: Path) -> ContentT:
        """Return the content.

        Raises:
            FileNotFoundError: the file is missing.
            OSError: it can't be read.
            ValueError: it is too large or of a newer version; pydantic's ValidationError: it is damaged.
        """
        path = directory / self.name
        if path.stat().st_size > self._most_bytes:
            raise ValueError("it is too large")
        content = self._adapter.validate_json(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError("a newer version wrote it")
        return content

    def write(self, directory: Path, content: ContentT) -> None:
        """Replace the content, durably.

        Raises:
            OSError: it was not; the file is as it was.
        """
        data = self._adapter.dump_json(content, indent=1)
        replace_durably(Files(directory), names.temporary(), self.name, [data, b"\n"])
