"""The framework's floor: the three routes on bare FastAPI over dictionaries; nothing is kept, nothing is checked."""

import sys
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from tests.benchmarks.server.serving import serve_peer

from app.api.schemas import AnnotationIn, AnnotationOut, PageOut
from snaptable import utc_now

app = FastAPI()

users: dict[str, str] = {}
"""Whose token it is."""
annotations: dict[str, AnnotationOut] = {}
of_document: dict[str, list[AnnotationOut]] = {}


async def get_user(token: Annotated[str, Depends(OAuth2PasswordBearer("/api/auth/login"))]) -> str:
    """Return who holds the token."""
    if token not in users:
        raise HTTPException(401)
    return users[token]


UserDep = Annotated[str, Depends(get_user)]


@app.get("/api/annotations/{annotation_id}")
async def get_annotation(user: UserDep, annotation_id: str) -> AnnotationOut:
    """Show one."""
    annotation = annotations.get(annotation_id)
    if annotation is None or annotation.user_id != user:
        raise HTTPException(404)
    return annotation


@app.get("/api/annotations")
async def list_annotations(user: UserDep, document_id: str, limit: int = 50) -> PageOut[AnnotationOut]:
    """List a document's."""
    rows = of_document[document_id]
    return PageOut(items=rows[:limit], next_cursor=rows[limit - 1].id if len(rows) > limit else None)


@app.post("/api/annotations", status_code=201)
async def create_annotation(user: UserDep, body: AnnotationIn) -> AnnotationOut:
    """Add one."""
    now = utc_now()
    row = AnnotationOut(id=str(uuid4()), user_id=user, created_at=now, updated_at=now, **body.model_dump())
    of_document[row.document_id].append(row)
    annotations[row.id] = row
    return row


if __name__ == "__main__":
    users[sys.argv[1]] = str(uuid4())  # as long as the backend's: answers are of the same size
    of_document.update((document, []) for document in sys.argv[2:])
    serve_peer(app)
