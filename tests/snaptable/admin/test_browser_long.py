"""No value is too long for a page: names, keys, texts and files as long as they may be, on a phone and on a screen.

Every page is drawn at 320, 500 and 1280 pixels. Nothing may be wider than the window, and nothing may need scrolling
sideways but what is made for it: the grid of a table and lines of a file on a screen, rows of tabs, blocks of code.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest
from tests.snaptable.admin.screenshots import serving

from snaptable import Database, ForeignKey, Row, Table, Unique, attribution, numbered
from snaptable.admin.pages.users import ListedUser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WORD = "Donaudampfschifffahrtsgesellschaftskapitaen" * 7
KEY, ACTOR, VALUE = WORD[:80], f"{WORD[:48]}@example.org", WORD[:300]
BACKUP = "backup-20261128T074105Z-9223372036854775807-18c35c9c_999999.zip.age"
"""As long as its name gets."""
PARENTS = "a_table_whose_name_has_sixty_characters_and_no_single_blank_"
CHILDREN = "another_table_whose_name_is_as_long_and_which_refers_to_it__"
FIELD = "a_field_whose_name_has_sixty_characters_and_no_single_blank_"


class Parent(Row):
    id: str
    name: str = VALUE
    a_field_whose_name_has_sixty_characters_and_no_single_blank_: Annotated[str, Unique()] = VALUE
    texts: tuple[str, ...] = (VALUE, VALUE)
    note: str | None = VALUE


class Child(Row):
    id: int = numbered()
    a_field_whose_name_has_sixty_characters_and_no_single_blank_: Annotated[str, ForeignKey(Parent)]
    number: int = 10**60


class Long(Database):
    a_table_whose_name_has_sixty_characters_and_no_single_blank_: Table[Parent]
    another_table_whose_name_is_as_long_and_which_refers_to_it__: Table[Child]


class Crowd:
    """Users with long names, some of whom are admins."""

    table = PARENTS

    def find(self, text: str, skip: int, most: int) -> tuple[Sequence[ListedUser], int]:
        """Return two of them."""
        del text, skip, most
        return [
            ListedUser(KEY, ACTOR, is_admin=True, sessions=2),
            ListedUser(KEY, VALUE, is_admin=False, sessions=0),
        ], 2

    def set_admin(self, key: str, *, is_admin: bool) -> str | None:
        """Refuse it, at length."""
        return f"{key} {VALUE} {is_admin}"

    def end_sessions(self, key: str) -> int:
        """End none."""
        return len(key) * 0


def fill(db: Long) -> None:
    """Add rows, and commits that change, delete and refer to them."""
    parents, children = db.tables[PARENTS], db.tables[CHILDREN]
    with attribution(actor=ACTOR, via=f"PATCH /api/{WORD}", note=VALUE):
        parents.insert_many(
            [
                Parent(id=KEY),
                *(
                    Parent(id=f"{n}{KEY}", a_field_whose_name_has_sixty_characters_and_no_single_blank_=f"{n}{VALUE}")
                    for n in range(4)
                ),
            ]
        )
    for number in range(4):
        children.insert(Child(a_field_whose_name_has_sixty_characters_and_no_single_blank_=KEY))
        with attribution(actor=ACTOR, via=f"PATCH /api/{WORD}", note=VALUE):
            parents.update(KEY, note=f"{number}{VALUE}", name=f"{number}{VALUE}", texts=(VALUE,) * number)
    with attribution(actor=ACTOR):
        parents.delete(f"1{KEY}")


def edit_outside(db: Long) -> None:
    """Change a row in the file, as an editor would, and let the store go on."""
    assert db.directory is not None
    path = db.directory / "db_snapshot.json"
    path.write_bytes(path.read_bytes().replace(b'"note":"3Donau', b'"note":"4Donau'))
    db.tables[PARENTS].update(f"2{KEY}", note=None)
    db.persist()


@contextmanager
def served(folder: Path) -> Iterator[tuple[Long, str]]:
    """Serve the admin of long values, with backups and users, and give the address that lets in."""
    backups = folder / "backups"
    backups.mkdir()
    (backups / BACKUP).write_bytes(bytes(5_000_000))
    with Long(folder / "data", fsync=False, banner=False) as db:
        fill(db)
        edit_outside(db)
        options = {"backup_dir": str(backups), "users": Crowd(), "title": WORD[:60]}
        with serving(db, **options) as link:
            yield db, link


def pages_of(db: Long) -> dict[str, str]:
    """Return the pages by name, as addresses below the admin's."""
    last = db.history.sequence
    return {
        "overview": "/",
        "table": f"/tables/{PARENTS}",
        "children": f"/tables/{CHILDREN}",
        "filtered": f"/tables/{PARENTS}?name__contains={VALUE}&note__null=true&sort={FIELD}",
        "nothing matches": f"/tables/{PARENTS}?name={VALUE}x",
        "wrong filter": f"/tables/{PARENTS}?{WORD[:60]}={VALUE}",
        "row": f"/tables/{PARENTS}/row?key={KEY}",
        "deleted row": f"/tables/{PARENTS}/row?key=1{KEY}",
        "child": f"/tables/{CHILDREN}/row?key=1",
        "new": f"/tables/{PARENTS}/new",
        "delete": f"/tables/{PARENTS}/delete?key={KEY}&key=2{KEY}",
        "commit": f"/commits/{last - 1}",
        "conflicts": f"/commits/{last - 4}",
        "history": "/history",
        "filtered history": f"/history?table={PARENTS}&key={KEY}&actor={ACTOR}",
        "wrong history": f"/history?{WORD[:60]}={VALUE}&since={VALUE}",
        "time": f"/time?from={last - 5}",
        "wrong time": f"/time?from={VALUE}",
        "time of a table": f"/time?from={last - 5}&table={PARENTS}",
        "restore": f"/time/restore?at={last - 5}",
        "restore a table": f"/time/restore?at={last - 5}&table={PARENTS}",
        "file": f"/file?find={KEY}",
        "import": "/import",
        "export": f"/export?table={PARENTS}&name__contains={VALUE}",
        "backups": "/backups",
        "made": f"/backups?made={BACKUP}",
        "users": "/users",
        "go": f"/go?q={KEY}",
        "nothing of that name": f"/go?q={VALUE}x",
        "no such table": f"/tables/{VALUE}",
        "proposals": "/proposals",
    }


TOO_WIDE = """() => {
  const wrong = [];
  const told = (each) => `${each.outerHTML.slice(0, 100)} (${each.scrollWidth} in ${each.clientWidth})`;
  const width = Math.max(document.documentElement.scrollWidth, document.body.scrollWidth);
  if (width > innerWidth) wrong.push(`the page is ${width} wide in a window of ${innerWidth}`);
  const narrow = innerWidth <= 720;
  const made = "nav, .code, .tabs, .edit" + (narrow ? "" : ", .grid-frame, .lines-frame");
  for (const each of document.querySelectorAll("body *")) {
    if (each.closest("svg, .sr, select, option, dialog:not([open])") || each.matches("input, textarea")) continue;
    if (each.closest(made) || !each.checkVisibility() || !each.clientWidth) continue;
    const style = getComputedStyle(each);
    const isTold = style.overflowX === "visible" || style.textOverflow === "ellipsis";
    if (!isTold && each.scrollWidth > each.clientWidth + 1) wrong.push(`is cut or scrolls: ${told(each)}`);
    const box = each.getBoundingClientRect();
    const clip = each.parentElement.closest(".chip, .nav, .cut, .plan, .strong") ?? null;
    if (clip === null && box.right > innerWidth + 1) wrong.push(`sticks out at ${box.right}: ${told(each)}`);
  }
  return wrong.slice(0, 6);
}"""


@pytest.fixture(scope="module")
def place(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[Long, str]]":
    """Give the database of long values, served; where there is a browser."""
    del browser
    with served(tmp_path_factory.mktemp("long")) as both:
        yield both


def look(page: "Page", name: str) -> list[str]:
    """Return what is too wide on a page, at each width."""
    found = []
    for width in (320, 500, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"{name} at {width}: {each}" for each in page.evaluate(TOO_WIDE)]
    return found


def test_no_page_is_wider_than_the_window(page: "Page", place: tuple[Long, str]) -> None:
    """Ensure that every page wraps or cuts with dots whatever it shows."""
    db, link = place
    base = link.partition("/enter")[0]
    page.goto(link)
    page.wait_for_url("**/admin/")
    wrong: list[str] = []
    for name, path in pages_of(db).items():
        page.goto(base + path)
        wrong += look(page, name)
    assert not wrong, "\n".join(wrong)


def test_what_is_sent_wraps_too(page: "Page", place: tuple[Long, str]) -> None:
    """Ensure it of an import with its faults, of a refused edit, of a proposal, and of what is not an address."""
    link = place[1]
    base = link.partition("/enter")[0]
    page.goto(base + "/login")
    wrong = look(page, "login")
    page.goto(link)
    page.wait_for_url("**/admin/")
    page.goto(base + f"/import?table={PARENTS}")
    page.locator("textarea").fill(f"id,{FIELD},{WORD[:80]}\n{KEY},{VALUE},{VALUE}\n{KEY},{VALUE},{VALUE}\n")
    page.get_by_role("button", name="Look at it").click()
    page.wait_for_url("**/import/*")
    wrong += look(page, "import plan")
    page.goto(base + f"/tables/{PARENTS}/row?key=2{KEY}")
    page.locator(f"#field-{FIELD}").fill(f"0{VALUE}")
    page.locator("button.primary").click()
    page.locator(".field-error").first.wait_for()
    wrong += look(page, "refused")
    page.goto(base + "/users")
    page.get_by_role("button", name="Make admin").click()
    page.locator(".notice").wait_for()
    wrong += look(page, "refused admin")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(base + f"/tables/{CHILDREN}")
    page.locator("tbody tr").first.locator("td[data-column=number]").dblclick()
    page.keyboard.type("7" * 90)
    page.keyboard.press("Enter")
    wrong += look(page, "staged")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Propose").click()
    page.locator(".toast").wait_for()
    page.goto(base + "/proposals")
    wrong += look(page, "proposals")
    assert not wrong, "\n".join(wrong)
