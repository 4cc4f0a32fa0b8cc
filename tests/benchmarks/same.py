"""Before anything is measured: everybody gives the same answers. A fast wrong answer is no peer's merit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.benchmarks.bench import PEERS, Bench
from tests.benchmarks.peers.peer import Peer
from tests.benchmarks.rows import Annotation, Rows


def check_answers(bench: Bench, names: Sequence[str] = tuple(PEERS)) -> list[str]:
    """Return who was asked; every installed peer is, on the same rows, with and without an insert and a change.

    Raises:
        AssertionError: a peer's answer is another one than the first peer's.
    """
    asked = [name for name in names if bench.installed(name)]
    expected: list[Any] | None = None
    for name in asked:
        with bench.filled(name, "1k") as peer:
            found = answers(peer, Rows(bench.total("1k")))
        assert expected is None or found == expected, f"{name} answers otherwise than {asked[0]}"
        expected = found
    return asked


def answers(peer: Peer, rows: Rows) -> list[Any]:
    """Return what a peer says to the same questions, asked before and after a write of each kind."""
    keys, parents, moments = rows.keys(20), rows.parents(10), rows.moments(5)
    new = rows.more(1)[0]
    found: list[Any] = [plain(peer.get(key)) for key in keys]
    peer.insert(new)
    peer.set_page(keys[0], 7)
    found += [plain(peer.get(new.id)), plain(peer.get(keys[0])), peer.get("nobody")]
    found += [sorted(map(plain, peer.find(parent))) for parent in (new.document_id, *parents)]
    found += [list(map(plain, peer.range(moment))) for moment in moments]
    found.append(sorted(map(plain, peer.scan(300, 0.5))))
    return found


def plain(row: Any) -> list[tuple[Any, str]]:
    """Return a row's values with their types, whatever the class of the row; times by what they say, offset and all."""
    values = (getattr(row, name) for name in Annotation.model_fields)
    return [(value.isoformat() if isinstance(value, datetime) else value, type(value).__name__) for value in values]
