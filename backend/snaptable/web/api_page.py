"""The page /docs of an application: its routes as its OpenAPI document says them, for people, without any script.

FastAPI's own page loads its script and its style from another host. This one is HTML and one style, written by the
server: it loads nothing, and its policy forbids that anything is.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from shlex import quote
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse

METHODS = ("get", "post", "put", "patch", "delete")
DEPTH = 4
"""Levels of an example that is made of a schema."""
STYLE = """
:root{color-scheme:light dark;--ink:light-dark(#1d1d1b,#e9e8e4);--dim:light-dark(#6f6d67,#9a988f);
--line:light-dark(#e7e6e2,#26282c);--side:light-dark(#f7f7f5,#0d0e10);--accent:light-dark(#0b6e62,#4cc2ae)}
body{font:15px/22px system-ui,sans-serif;color:var(--ink);background:light-dark(#fff,#131416);max-width:60em;
margin:2em auto;padding:0 1em}h1{font-size:24px;line-height:32px}h2{margin-top:2em;border-bottom:1px solid var(--line)}
h3{font-size:15px;margin:1.6em 0 .2em}a{color:var(--accent)}code,pre{font:13px/20px ui-monospace,Menlo,monospace}
pre{background:var(--side);border:1px solid var(--line);border-radius:6px;padding:8px 12px;overflow-x:auto}
p{margin:.3em 0}.dim{color:var(--dim)}nav ul{columns:20em;padding:0;list-style:none}
table{border-collapse:collapse;width:100%;margin:.5em 0}td,th{text-align:left;vertical-align:top;padding:4px 12px 4px 0;
border-top:1px solid var(--line)}th{font-weight:600}summary{cursor:pointer;color:var(--dim)}
"""
POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

Json = dict[str, Any]


def add_api_page(app: FastAPI, path: str = "/docs") -> None:
    """Answer a path with the page of an application that has none: `FastAPI(docs_url=None, redoc_url=None)`."""

    async def show(request: Request) -> HTMLResponse:
        """Show every route."""
        page = ApiPage(
            app.openapi(), str(request.base_url).rstrip("/"), f"{request.scope.get('root_path', '')}{app.openapi_url}"
        )
        return HTMLResponse(page.html(), headers={"Content-Security-Policy": POLICY})

    app.add_api_route(path, show, include_in_schema=False, name="api_page")


class ApiPage:
    """An OpenAPI document as HTML."""

    def __init__(self, document: Json, base: str, document_url: str) -> None:
        """Take the document, the address that requests begin with, and where the document itself is."""
        self._document, self._base, self._document_url = document, base, document_url

    def html(self) -> str:
        """Return the page."""
        title = escape(self._document["info"]["title"])
        parts = [
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}: every route</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><main><h1>{title}</h1>',
            f"<p>{escape(self._document['info'].get('description', ''))}</p>"
            f'<p class="dim">For programs: <a href="{escape(self._document_url)}">{escape(self._document_url)}</a></p>',
        ]
        tags = self._by_tag()
        for tag, operations in tags.items():
            name = escape(tag or "other")
            links = "".join(f'<li><a href="#{_anchor(each)}">{_heading(each)}</a></li>' for each in operations)
            parts.append(f'<h2>{name}</h2><nav aria-label="{name}"><ul>{links}</ul></nav>')
            parts += [part for each in operations for part in self._operation(*each)]
        return "".join([*parts, "</main></html>\n"])

    def _by_tag(self) -> dict[str, list[tuple[str, str, Json]]]:
        """Return method, path and operation of each route, by tag, in the order of the document."""
        by_tag: dict[str, list[tuple[str, str, Json]]] = {}
        for path, methods in self._document["paths"].items():
            for method in METHODS:
                if method in methods:
                    operation = methods[method]
                    by_tag.setdefault((operation.get("tags") or [""])[0], []).append((method, path, operation))
        return by_tag

    def _operation(self, method: str, path: str, operation: Json) -> Iterator[str]:
        """Yield the parts of one route: what it does, what it takes, how it is asked, what it answers."""
        yield f'<h3 id="{_anchor((method, path, operation))}"><code>{_heading((method, path, operation))}</code></h3>'
        yield f"<p>{escape(operation.get('summary', ''))}</p>"
        description = operation.get("description", "")
        if description and description != operation.get("summary"):
            yield f'<p class="dim">{escape(description)}</p>'
        parameters = operation.get("parameters", [])
        if parameters:
            yield f"<details><summary>{len(parameters)} parameter{'s' if len(parameters) > 1 else ''}</summary>"
            yield _table(
                (each["name"], each["in"], self._kind(each.get("schema", {})), each.get("description", ""))
                for each in parameters
            )
            yield "</details>"
        body = self._body(operation)
        if body is not None:
            yield from self._fields(body)
        yield f"<pre><code>{escape(self._curl(method, path, operation, body))}</code></pre>"
        answers = sorted(operation["responses"].items())
        statuses = ", ".join(f"{code} {said.get('description', '').rstrip('.')}" for code, said in answers)
        yield f'<p class="dim">Answers: {escape(statuses)}.</p>'

    def _body(self, operation: Json) -> Json | None:
        """Return the schema of a JSON body; None if there is none."""
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        return None if schema is None else self._resolved(schema)

    def _fields(self, body: Json) -> Iterator[str]:
        properties = body.get("properties")
        if properties:
            required = set(body.get("required", ()))
            yield _table(
                (name, "needed" if name in required else "", self._kind(schema), schema.get("description", ""))
                for name, schema in properties.items()
            )

    def _curl(self, method: str, path: str, operation: Json, body: Json | None) -> str:
        """Return the line that asks a route in a shell."""
        words = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
        if operation.get("security"):
            words += ["-H", quote("Authorization: Bearer TOKEN")]
        if body is not None:
            sent = json.dumps(self._example(body), ensure_ascii=False)
            words += ["-H", quote("Content-Type: application/json"), "-d", quote(sent)]
        return " ".join([*words, quote(f"{self._base}{path}")])

    # ── schemas ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _resolved(self, schema: Json) -> Json:
        """Return a schema, or what it refers to."""
        name = schema.get("$ref", "").rpartition("/")[2]
        resolved: Json = self._document.get("components", {}).get("schemas", {}).get(name, {}) if name else schema
        return resolved

    def _kind(self, schema: Json) -> str:
        """Return a type in a word or a few."""
        if "$ref" in schema:
            return str(schema["$ref"].rpartition("/")[2])
        if "enum" in schema or "const" in schema:
            return " | ".join(
                json.dumps(value, ensure_ascii=False) for value in schema.get("enum", [schema.get("const")])
            )
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self._kind(each) for each in schema["anyOf"]))
        if schema.get("type") == "array":
            return f"list of {self._kind(schema.get('items', {}))}"
        return str(schema.get("format") or schema.get("type") or "any")

    def _example(self, schema: Json, depth: int = 0) -> object:
        """Return a value that a schema takes, of the members that are needed, or of all if none is."""
        schema = self._resolved(schema)
        for word in ("examples", "enum"):
            if schema.get(word):
                return schema[word][0]
        if "default" in schema or "const" in schema:
            return schema.get("default", schema.get("const"))
        if "anyOf" in schema:
            return self._example(schema["anyOf"][0], depth)
        if schema.get("type") == "object":
            names = schema.get("required") or list(schema.get("properties", ()))
            names = names if depth < DEPTH else []
            return {name: self._example(schema["properties"][name], depth + 1) for name in names}
        if schema.get("type") == "array":
            return []
        samples = {"integer": 1, "number": 1.5, "boolean": True, "date-time": "2026-01-31T12:00:00Z"}
        samples |= {"date": "2026-01-31", "email": "ann@example.org", "string": "text"}
        return samples.get(str(schema.get("format")), samples.get(str(schema.get("type"))))


def _heading(operation: tuple[str, str, Json]) -> str:
    return escape(f"{operation[0].upper()} {operation[1]}")


def _anchor(operation: tuple[str, str, Json]) -> str:
    return escape(str(operation[2].get("operationId", _heading(operation))), quote=True)


def _table(rows: "Iterator[tuple[str, str, str, str]]") -> str:
    lines = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{escape(where)}</td><td>{escape(kind)}</td>'
        f"<td>{escape(text)}</td></tr>"
        for name, where, kind, text in rows
    )
    return f"<table>{lines}</table>"
