"""The page /docs without a script: every route is on it, nothing it holds is markup of strangers, nothing is loaded."""

import base64
import hashlib
import re
import shlex
from html import unescape
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field
from starlette.testclient import TestClient

from snaptable import Database, Index, Row, Table, new_id
from snaptable.web import add_api_page, crud_router, install_problems


class Note(Row):
    """A note."""

    id: str = Field(default_factory=new_id)
    text: Annotated[str, Index(), Field(description="What it says: <b>bold</b> is not bold.")]
    kind: str = "it's plain"


class Notes(Database):
    """Notes."""

    notes: Table[Note]


def test_every_route_is_shown_with_a_line_that_works() -> None:
    """Ensure names and parameters, and that a line for a shell asks the route that it stands by."""
    with Notes("memory:") as db:
        app = FastAPI(title="Notes & <script>", docs_url=None, redoc_url=None)
        install_problems(app)
        app.include_router(crud_router(db.notes, allow={"list", "get", "create", "update", "delete"}))
        add_api_page(app)
        client = TestClient(app)
        text = client.get("/docs").text
        document = client.get("/openapi.json").json()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                assert f"{method.upper()} {path}" in text
                assert f'id="{operation["operationId"]}"' in text
                for parameter in operation.get("parameters", []):
                    assert f"<code>{parameter['name']}</code>" in text
        lines = [shlex.split(unescape(line)) for line in re.findall(r"<pre><code>(.*?)</code></pre>", text)]
        assert len(lines) == 5
        post = next(line for line in lines if line[1:3] == ["-X", "POST"])
        answer = client.post(post[-1], content=post[post.index("-d") + 1], headers={"Content-Type": "application/json"})
        assert answer.status_code == 201, answer.text
        assert client.get(next(line for line in lines if line[1].endswith("/notes"))[1]).status_code == 200


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    """Ensure the policy, that it allows the page's own style alone, and that titles and texts are text."""
    with Notes("memory:") as db:
        app = FastAPI(title="Notes & <script>", docs_url=None, redoc_url=None)
        app.include_router(crud_router(db.notes))
        add_api_page(app)
        page = TestClient(app).get("/docs")
        policy = page.headers["content-security-policy"]
        (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
        assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert not re.search(r"<script|<link|<img|<b>|\bon[a-z]+=|style=|src=", page.text)
        assert not re.search(r'href="(?!#|/openapi\.json)', page.text)
