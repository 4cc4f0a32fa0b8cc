"""The types of what the fixtures give: the type checker reads this file, and fails where an ignore is not needed."""

from pathlib import Path
from typing import assert_type

from fastapi import FastAPI
from fastapi.testclient import TestClient

from snaptable import Database, Row, Table
from snaptable.testing import AppFixture, AppHandle, StoreFixture, StoreHandle, StoreTemplate, TemplateFixture


class Note(Row):
    id: int | None = None
    text: str = ""


class Notes(Database):
    notes: Table[Note]


def make(directory: Path) -> Notes:
    """Return a closed database."""
    return Notes(directory, snapshot="background")


def test_a_store_has_the_type_of_its_database(
    snaptable_store: StoreFixture, snaptable_template: TemplateFixture, tmp_path: Path
) -> None:
    """Whatever a store is made of, a class, a function, an object or a template, its handle knows the class."""
    template = snaptable_template(Notes, lambda db: db.notes.insert(Note(text="first")))
    assert_type(template, StoreTemplate[Notes])
    assert_type(snaptable_store(Notes), StoreHandle[Notes])
    assert_type(snaptable_store(Notes, snapshot="always", fsync=False), StoreHandle[Notes])
    assert_type(snaptable_store(make), StoreHandle[Notes])
    assert_type(snaptable_store(Notes(tmp_path / "never made")), StoreHandle[Notes])
    store = snaptable_store(template)
    assert_type(store.fork(), StoreHandle[Notes])
    for db in (store.db, store.restart(), store.kill(), store.power_loss()):
        assert_type(db, Notes)
    assert isinstance(store, StoreHandle)


def test_an_application_has_the_type_that_the_test_names(snaptable_app: AppFixture[Notes], tmp_path: Path) -> None:
    """Its database is what the annotation of the fixture says; one that is handed in must be that."""
    db = Notes(tmp_path / "never made")
    app = snaptable_app(FastAPI(), db)
    assert_type(app, AppHandle[Notes])
    assert_type(snaptable_app(lambda directory: FastAPI(), base_url="http://example.org"), AppHandle[Notes])
    assert_type(app.restart(), TestClient)
    assert isinstance(app, AppHandle)


def wrong(snaptable_store: StoreFixture, snaptable_app: AppFixture[Notes]) -> None:
    """Mistakes that the type checker finds."""
    snaptable_store(Notes, snapshot="never")  # type: ignore[call-overload]
    snaptable_store(Notes, durable=True)  # type: ignore[call-overload]
    snaptable_store(Note)  # type: ignore[call-overload]
    snaptable_store(Notes).db.note  # type: ignore[attr-defined]  # noqa: B018
    snaptable_store(Notes).crash_everywhere(lambda db: db.note)  # type: ignore[attr-defined]
    snaptable_app(FastAPI(), Database("data"))  # type: ignore[call-overload]
    snaptable_app(lambda directory: FastAPI(), base_uri="")  # type: ignore[call-overload]
