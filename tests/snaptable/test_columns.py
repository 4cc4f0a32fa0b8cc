"""A column is not the field's value: what the value could do, and a column can't, says what to write instead."""

import copy

import pytest
from pydantic import BaseModel

from snaptable import InvalidQuery, Row


class Box(BaseModel, frozen=True):
    x: int


class Document(Row):
    id: str
    title: str | None = None
    box: Box
    metadata: dict[str, str]


@pytest.mark.parametrize("name", ["lower", "startswith", "like"])
def test_methods_of_text(name: str) -> None:
    """A text's methods are answered with the two conditions there are."""
    with pytest.raises(
        AttributeError, match=rf"^Document\.title\.{name}: .*starts_with\(Document\.title, …\).*contains"
    ):
        getattr(Document.title, name)


def test_nested_values() -> None:
    """A nested model's fields and a dict's items are columns too; what isn't there doesn't pass unnoticed."""
    assert repr(Document.box.x > 3) == "<Document.box.x > ?>"
    assert repr(Document.metadata["lang"] == "de") == "<Document.metadata['lang'] == ?>"
    with pytest.raises(AttributeError, match=r"^Document\.box\.z: there is no field 'z'; there is x$"):
        _ = Document.box.z > 3  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"^Document\.metadata\.lang: .* Document\.metadata\['lang'\]$"):
        _ = Document.metadata.lang == "de"  # type: ignore[attr-defined]
    with pytest.raises(InvalidQuery, match=r"^Document\.box\[…\]: a field is asked for by its name"):
        _ = Document.box["x"]  # type: ignore[index]


def test_other_libraries_may_look_for_what_is_not_there() -> None:
    """Copying a column works, and a notebook's question for an HTML form is answered with no."""
    assert not hasattr(Document.title, "_repr_html_")
    assert copy.copy(Document.title).name == "title"  # type: ignore[union-attr]
