"""A column is not the field's value: what the value could do, and a column can't, says what to write instead."""

import copy
from threading import Thread

import pytest
from pydantic import BaseModel, create_model

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


def test_columns_hide_from_the_making_of_subclasses() -> None:
    """Ensure that a column is no default of a subclass's field, whoever looked at it before; each has its own."""

    class Base(Row):
        id: str
        size: int
        name: str = "a"

    for number in range(3):
        columns = [Base.id, Base.size, Base.name]

        class Longer(Base):
            size: int
            pages: int

        made = create_model("Made", __base__=Longer, name=(str, ...))
        for model in (Longer, made):
            assert [name for name, field in model.model_fields.items() if field.is_required()] == [
                name for name in model.model_fields if name != "name" or model is made
            ]
            values = {"id": "1", "size": number, "name": "b", "pages": 2}
            row = model.model_validate(values)
            assert (row.model_dump(), row.size, repr(model.size)) == (values, number, f"{model.__name__}.size")
            assert model.size is not Base.size
        assert all(one is other for one, other in zip(columns, [Base.id, Base.size, Base.name], strict=True))
        assert Base(id="1", size=4).model_dump() == {"id": "1", "size": 4, "name": "a"}


def test_other_threads_see_columns_while_a_class_is_made() -> None:
    """Ensure that a column is found while another thread makes a subclass, which does not find it."""
    seen: list[object] = []

    class Base(Row):
        id: str
        size: int = 1

    def look() -> None:
        seen.extend([Base.size, Base.size > 3])

    class Looking(Base):
        size: int

        @classmethod
        def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
            for target in (look, look):
                thread = Thread(target=target)
                thread.start()
                thread.join()

    _ = Base.size

    class Made(Looking):
        size: int

    assert list(map(repr, seen)) == ["Base.size", "<Base.size > ?>"] * 2
    assert Made.model_fields["size"].is_required()
    assert Looking.model_fields["size"].is_required()
