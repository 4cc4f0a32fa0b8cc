"""The main path through each demo's page, as a person goes it: in a real browser, against a real server."""

from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
from tests.demos.support import running

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_tracker(page: "Page", tmp_path: Path) -> None:
    """Ensure that a track can be made, filled, published and enrolled in; that a lesson comes back by Undo."""
    with running("tracker", "--data-dir", tmp_path / "data") as address:
        page.goto(address)
        page.fill("#new-track input", "Crash testing")
        page.press("#new-track input", "Enter")
        track = page.locator("#track")
        track.get_by_role("heading", name="Crash testing").wait_for()
        track.get_by_label("Title of a new lesson").fill("Pull the plug")
        httpx2.post(f"{address}/api/tracks", json={"title": "Meanwhile"}, timeout=60).raise_for_status()
        page.get_by_role("button", name="Meanwhile").wait_for()
        track.get_by_role("button", name="Add").click()  # what was typed is there, though all was read again
        track.get_by_text("Pull the plug").wait_for()
        track.get_by_role("button", name="Publish").click()
        track.get_by_text("published").wait_for()
        track.get_by_role("button", name="Enrol").click()
        track.get_by_text("0 of 1").wait_for()
        track.get_by_role("button", name="Enrol").click()
        page.get_by_role("alert").get_by_text("This user is enrolled already.").wait_for()
        track.get_by_role("button", name="next lesson done").click()
        track.get_by_text("1 of 1").wait_for()
        track.get_by_role("button", name="Delete Pull the plug").click()
        track.get_by_text("Nobody yet.").wait_for()
        page.locator("#log li:first-child", has_text="−").first.wait_for()  # the last commit is the deletion
        page.locator("#log").get_by_role("button").first.click()
        track.get_by_text("1 of 1").wait_for()
        page.get_by_text("2 rows changed back").wait_for()

        asked, refused = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: refused.append(message.text))
        page.goto(f"{address}/docs")
        page.get_by_role("link", name="PATCH /api/users/{key}").click()
        page.get_by_role("heading", name="PATCH /api/users/{key}").wait_for()
        page.locator("details summary").first.click()
        assert (
            page.evaluate("getComputedStyle(document.querySelector('pre')).overflowX") == "auto"
        )  # the style is taken
        assert all(url.startswith(address) for url in asked)
        assert not refused


def test_the_chat(page: "Page", tmp_path: Path) -> None:
    """Ensure that a second window follows, that Undo brings a conversation back, and that the page survives a kill."""
    with running("chat", "--data-dir", tmp_path / "data") as address:
        page.goto(address)
        page.get_by_role("button", name="New", exact=True).click()
        page.get_by_label("Message", exact=True).fill("What survives?")
        page.keyboard.press("Enter")
        messages = page.get_by_role("log")
        messages.get_by_text("You said: What survives?").wait_for()
        other = page.context.new_page()
        other.goto(page.url)
        other.get_by_role("log").get_by_text("You said: What survives?").wait_for()
        page.get_by_label("Message", exact=True).fill("Everything")
        page.get_by_role("button", name="Send").click()
        other.get_by_role("log").get_by_text("You said: Everything").wait_for()

        talk = page.locator("#talks li", has_text="What survives?")
        talk.hover()
        talk.get_by_role("button", name="Delete").click()
        talk.wait_for(state="detached")
        page.get_by_role("button", name="Undo").click()
        messages.get_by_text("You said: Everything").wait_for()
        for name in ("restart", "kill"):
            page.locator(f"#{name} button").click()
            page.locator(f"#{name} li.good").wait_for()
        other.locator("#live.on").wait_for()
        other.locator("#talks li", has_text="Message 0 before the kill").wait_for()
        assert page.locator("#restart li.good, #kill li.good").count() == 2


def test_the_lesson(page: "Page", tmp_path: Path) -> None:
    """Ensure that a lane runs on both sides at a button, and says which broke."""
    with running("lesson", "--data-dir", tmp_path / "data") as address:
        page.goto(address)
        for lane in ("race", "full"):
            page.locator(f"#{lane}").get_by_role("button").click()
            page.locator(f"#{lane} .side.bad").get_by_text("broken").wait_for()
            page.locator(f"#{lane} .side.good").get_by_text("held").wait_for()
        page.get_by_text("json.dump to a file: 0 of 2 held · snaptable: 2 of 2 held").wait_for()
        assert page.locator(".side.good").get_by_text("held").count() == 2
