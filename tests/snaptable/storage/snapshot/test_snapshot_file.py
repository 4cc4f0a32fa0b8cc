"""The format of `db_snapshot.json`, to the letter, and what it holds after every kind of change."""

import json
import random
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.snaptable.storage.support import (
    SNAPSHOT,
    TABLES,
    Post,
    Store,
    Token,
    User,
    checksum,
    ids,
    killed,
    opened,
    parse_snapshot,
    read_snapshot,
    rows_of,
)

ODD_KEYS = [
    'a"b', "a\\", '\\"', "a\nb", "\n", "\r\n", ",\n", "}\n", "\n}", "},", 'x": {', '"x": {', '"x": {"id":"x"}',
    '\n"x": {', "", " ", "\t", "\x00", "\x1f", "\x7f", "\u2028", "\u2029", "é", "日本", "😀", "checksum", "snaptable",
    "null", "0", "{", "}", "k" * 5_000,
]  # fmt: skip


def test_every_line_is_as_designed(store: Store) -> None:
    """Ensure the header, each row on one line, the braces and the checksum stand exactly where the design puts them."""
    store.users.insert(User(id="ann", email="a@b.org", note="hi"))
    store.users.insert(User(id="bob"))
    token = UUID(int=7)
    store.tokens.insert(Token(id=token, data={"k": [1, {"x": None}]}))
    assert store.directory is not None
    data = (store.directory / SNAPSHOT).read_bytes()
    body_sum = checksum(data[: data.index(b'"checksum": ')])
    lines = data.decode().split("\n")
    assert lines[0] == "{"
    assert re.fullmatch(r'"snaptable": \{.*\},', lines[1])
    assert lines[2:] == [
        '"users": {',
        '"ann": {"id":"ann","email":"a@b.org","note":"hi"},',
        '"bob": {"id":"bob","email":null,"note":""}',
        "},",
        '"posts": {',
        "},",
        '"tokens": {',
        f'"{token}": {{"id":"{token}","data":{{"k":[1,{{"x":null}}]}}}}',
        "},",
        f'"checksum": "{body_sum}"',
        "}",
        "",
    ]


def test_the_header_says_what_is_in_the_file(store: Store) -> None:
    """Ensure format, store id, sequence, time and counts are in the header, and the counts are in declared order."""
    before = datetime.now(UTC)
    store.users.insert_many([User(id="a"), User(id="b")])
    store.posts.insert(Post(user_id="a"))
    assert store.directory is not None
    header, _ = read_snapshot(store.directory)
    assert list(header)[:5] == ["format", "store", "sequence", "saved_at", "rows"]
    assert header["format"] == 1
    assert header["sequence"] == 2
    assert UUID(header["store"])
    assert header["saved_at"].endswith("Z")
    saved_at = datetime.fromisoformat(header["saved_at"])
    assert before - timedelta(seconds=1) <= saved_at <= datetime.now(UTC)
    assert list(header["rows"].items()) == [("users", 2), ("posts", 1), ("tokens", 0)]
    status = store.status()
    assert (status.snapshot_sequence, status.snapshot_saved_at) == (2, saved_at)
    assert status.snapshot_bytes == (store.directory / SNAPSHOT).stat().st_size


def test_an_empty_store_is_a_file_too(store: Store) -> None:
    """Ensure a store nobody wrote to yet has its complete snapshot already."""
    assert store.directory is not None
    header, rows = read_snapshot(store.directory)
    assert header["sequence"] == 0
    assert rows == {name: {} for name in TABLES}


def test_a_row_is_found_as_jq_would_find_it(store: Store) -> None:
    """Ensure `.users["<key>"]` of the parsed file is the row."""
    user = store.users.insert(User(email="x@y.org"))
    assert store.directory is not None
    plain = json.loads((store.directory / SNAPSHOT).read_bytes())
    assert plain["users"][user.id] == user.model_dump(mode="json")


def test_rows_stand_in_insertion_order(store: Store) -> None:
    """Ensure order is that of insertion, that an update keeps a row's place, and that a new row goes to the end."""
    assert store.directory is not None
    store.users.insert_many([User(id=key) for key in "cabd"])
    store.users.update("a", note="changed")
    store.users.replace(User(id="c", note="replaced"))
    store.users.upsert(User(id="b", note="upserted"))
    assert list(read_snapshot(store.directory)[1]["users"]) == list("cabd")
    store.users.delete("c")
    store.users.insert(User(id="c"))
    assert list(read_snapshot(store.directory)[1]["users"]) == list("abdc")
    with store.transaction():
        store.users.delete("a")
        store.users.insert(User(id="a", note="again"))
        store.users.insert(User(id="e"))
    assert list(read_snapshot(store.directory)[1]["users"]) == ids(store)
    assert opened(killed(store)) == rows_of(store)
    assert list(opened(killed(store))["users"]) == ids(store)


@pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
def test_odd_keys_among_others(store: Store, key: str) -> None:
    """Ensure a row whose key looks like a piece of the file is inserted, updated, found and deleted without harm."""
    assert store.directory is not None
    store.users.insert_many([User(id="x", note="first"), User(id=key), User(id="y", note=key)])
    store.users.update(key, note="changed " + key)
    store.users.update("x", note='"' + key)
    expected = rows_of(store)
    assert read_snapshot(store.directory)[1] == expected
    assert opened(killed(store)) == expected
    store.users.delete(key)
    assert list(read_snapshot(store.directory)[1]["users"]) == ["x", "y"]
    store.users.insert(User(id=key))
    assert list(opened(killed(store))["users"]) == ["x", "y", key]


def test_int_and_uuid_keys_are_strings_in_the_file(store: Store) -> None:
    """Ensure keys of the other types stand as JSON strings, and come back as what they were."""
    assert store.directory is not None
    store.users.insert(User(id="a"))
    posts = store.posts.insert_many([Post(id=given, user_id="a") for given in (None, 41, None, -3)])
    token = store.tokens.insert(Token())
    assert [post.id for post in posts] == [1, 41, 42, -3]
    _, rows = read_snapshot(store.directory)
    assert list(rows["posts"]) == ["1", "41", "42", "-3"]
    assert list(rows["tokens"]) == [str(token.id)]
    store.close()
    store.open()
    assert store.posts[41] == posts[1]
    assert store.tokens[token.id] == token
    assert store.posts.insert(Post(user_id="a")).id == 43


def test_contents_that_look_like_the_file(store: Store) -> None:
    """Ensure text made of rows, separators, checksums, headers and journal frames is nothing but text."""
    assert store.directory is not None
    texts = [
        ',\n"x": {"id":"x"},\n',
        "\n}\n}",
        '},\n"checksum": "crc32:00000000"\n}\n',
        '"snaptable": {"format": 9}',
        '{"frame":[1,1],"at":"x","previous":"' + "0" * 32 + '","commits":[]',
        '","check":"' + "0" * 32 + '"}\n',
        (store.directory / SNAPSHOT).read_text(),
    ]
    for number, text in enumerate(texts):
        store.users.insert(User(id=str(number), note=text))
    texts.append(next((store.directory / "db_journal").iterdir()).read_text())
    store.users.insert(User(id="journal", note=texts[-1]))
    store.tokens.insert(Token(data={"frame": [1, 1], "check": "x", "commits": [], 'k": {': texts}))
    store.users.update("0", note=texts[0] * 2)
    expected = rows_of(store)
    assert read_snapshot(store.directory)[1] == expected
    copy = killed(store)
    assert opened(copy) == expected
    (copy / SNAPSHOT).unlink()
    assert opened(copy) == expected


@pytest.mark.parametrize("seed", range(6))
def test_the_file_equals_the_rows_after_random_operations(store: Store, seed: int) -> None:
    """Ensure many inserts, updates, deletes and transactions leave the file with the rows of memory, in order."""
    chance = random.Random(seed)
    assert store.directory is not None
    keys = [chr(97 + number % 26) * (1 + number // 26) for number in range(150)] + ODD_KEYS[:20]
    store.users.insert_many([User(id=key) for key in chance.sample(keys, 120)])

    def change() -> None:
        key = chance.choice(keys)
        if store.users.get(key) is None:
            store.users.insert(User(id=key, note="n" * chance.choice([0, 3, 2_000])))
        elif chance.random() < 0.6:
            store.users.delete(key)
        else:
            store.users.update(key, note=chance.choice([",\n", '"', "", "long" * 500, str(chance.random())]))
        if chance.random() < 0.1 and len(store.posts.where().all()) < 40 and store.users.count():
            store.posts.insert(Post(user_id=chance.choice(ids(store))))

    for _ in range(120):
        kind = chance.random()
        if kind < 0.6:
            change()
        elif kind < 0.8:
            with store.transaction():
                for _ in range(chance.randint(1, 15)):
                    change()
        elif kind < 0.9:
            with suppress(ZeroDivisionError), store.transaction():
                for _ in range(chance.randint(1, 15)):
                    change()
                raise ZeroDivisionError
        else:
            store.users.where(User.note == "").limit(chance.randint(1, 3)).delete()
        rows = read_snapshot(store.directory)[1]
        expected = rows_of(store)
        assert rows == expected
        assert [list(table) for table in rows.values()] == [list(table) for table in expected.values()]
    again, expected = opened(killed(store)), rows_of(store)
    assert [list(table.items()) for table in again.values()] == [list(table.items()) for table in expected.values()]


def test_deleting_everything_leaves_an_empty_table(store: Store) -> None:
    """Ensure pages that lost all their rows leave no separator or line behind, in whatever order they went."""
    assert store.directory is not None
    for order in (1, -1):
        keys = [str(number) for number in range(200)]
        store.users.insert_many([User(id=key) for key in keys])
        for key in keys[::order]:
            store.users.delete(key)
        assert parse_snapshot((store.directory / SNAPSHOT).read_bytes())[1]["users"] == {}
    store.users.insert(User(id="last"))
    assert list(opened(killed(store))["users"]) == ["last"]


def test_a_transaction_that_changes_nothing_leaves_the_file_alone(store: Store) -> None:
    """Ensure no sequence is used, and nothing is written, where nothing changed."""
    assert store.directory is not None
    store.users.insert(User(id="a"))
    before = (store.directory / SNAPSHOT).read_bytes()
    store.users.update("a", note="")
    store.users.replace(User(id="a"))
    with store.transaction():
        store.users.insert(User(id="b"))
        store.users.delete("b")
    assert (store.directory / SNAPSHOT).read_bytes() == before
    store.users.insert(User(id="c"))
    assert read_snapshot(store.directory)[0]["sequence"] == 2


def test_saved_twice_the_store_keeps_its_id(store: Store) -> None:
    """Ensure the store's id is given once, and survives commits, closing and opening."""
    assert store.directory is not None
    first = read_snapshot(store.directory)[0]["store"]
    store.users.insert(User(note=str(uuid4())))
    store.close()
    store.open()
    store.persist()
    assert read_snapshot(store.directory)[0]["store"] == first
