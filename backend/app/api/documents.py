"""Documents: upload, list, show, download, delete."""

from functools import partial

from fastapi import Request
from pydantic import JsonValue
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.content import PdfResponse
from app.api.dependencies import CallerRequest
from app.api.routing import CallerRoute, new_router
from app.api.schemas import DocumentOut, PageOut
from app.errors import StorageFailed
from app.services import documents, quotas, uploads
from app.tables import Document
from snaptable.web import (
    IF_MATCH,
    IF_NONE_MATCH,
    NOT_MODIFIED,
    FieldError,
    ListParams,
    NotStrictJson,
    Problem,
    RowResponder,
    is_known,
    parse_json,
    problems,
)
from snaptable.web.problems import MAX_POINTER

router = new_router("documents", "/api/documents", route_class=CallerRoute)

listing = ListParams(
    Document, ["id", "filename", "total_pages", "size", "sha256", "upload_date"], sort="-upload_date,id"
)
respond = RowResponder(Document, DocumentOut)

UPLOAD_FORM: dict[str, JsonValue] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "A PDF."},
                        "metadata": {"type": "string", "description": "A JSON object, as text."},
                    },
                }
            }
        },
    }
}
PDF_CONTENT: dict[int | str, dict[str, JsonValue]] = {
    status: {"description": text, "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
    for status, text in ((200, "The PDF."), (206, "A part of the PDF, as the header Range asked for."))
}


@router.post(
    "",
    status_code=201,
    response_model=DocumentOut,
    responses=problems(400, 401, 409, 413, 415, 422, 503, 507),
    openapi_extra=UPLOAD_FORM,
    summary="Upload a PDF",
)
async def upload_document(request: CallerRequest) -> Response:
    """Store it, synced, before the answer; its pages are counted from the file itself."""
    # The form is read here, not by FastAPI, which would take the whole upload before it looks at the token.
    _check_is_multipart(request)
    form = await _read_form(request)
    try:
        file, metadata = _parts(form)
        caller, resources = request.caller, request.caller.resources.uploads
        document = await uploads.receive(caller.db, resources, caller.user, file.filename, file.file, metadata)
    finally:
        await form.close()
    return respond.one(document, 201)


@router.get(
    "",
    response_model=PageOut[DocumentOut],
    responses=problems(401, 422, 503),
    openapi_extra=listing.openapi,
    summary="List your documents",
)
async def list_documents(request: CallerRequest) -> Response:
    """Return a page of them, the newest first."""
    caller, wanted = request.caller, listing.read(request)
    query, max_bytes = documents.owned_by(caller.db, caller.user), caller.resources.settings.page_bytes
    return await caller.answer(
        request, lambda: respond.page(wanted.page_json(query, max_bytes)), lambda: wanted.is_slow(query)
    )


@router.get(
    "/{document_id}",
    response_model=DocumentOut,
    responses={**NOT_MODIFIED, **problems(401, 404, 422)},
    openapi_extra=IF_NONE_MATCH,
    summary="Describe one of your documents",
)
async def get_document(request: CallerRequest, document_id: str) -> Response:
    """Return what is known of it: name, pages, size, hash, metadata."""
    caller = request.caller
    return await caller.answer(request, lambda: respond.one(documents.get(caller.db, caller.user, document_id)))


@router.get(
    "/{document_id}/content",
    status_code=200,
    response_class=PdfResponse,
    response_model=None,
    responses={**PDF_CONTENT, **NOT_MODIFIED, **problems(401, 404, 416, 422, 500, 503)},
    openapi_extra=IF_NONE_MATCH,
    summary="Download a document",
)
async def get_document_content(request: CallerRequest, document_id: str) -> Response:
    """Return the very bytes that were uploaded, or the part of them that a Range asks for."""
    document = await request.caller.read(documents.get, document_id)
    if is_known(request.scope, f'"{document.sha256}"'):
        return Response(None, 304, {"ETag": f'"{document.sha256}"'})
    still = partial(request.caller.read, documents.get, document_id)
    return PdfResponse(request.caller.resources.uploads.blobs, document, request.headers.get("range"), still)


@router.delete(
    "/{document_id}",
    status_code=204,
    responses=problems(401, 404, 412, 422, 503),
    openapi_extra=IF_MATCH,
    summary="Delete a document",
)
async def delete_document(request: CallerRequest, document_id: str) -> None:
    """Delete it with its extractions, annotations and bytes.

    All is gone at once; where there is much of it, its space counts until it is free, some seconds behind the answer.
    """
    check = respond.if_match(request)
    caller, resources = request.caller, request.caller.resources
    await quotas.prepare(caller.db, caller.user)
    await uploads.remove(caller.db, resources.uploads, caller.user, document_id, check, resources.erasure.begin)


def _check_is_multipart(request: Request) -> None:
    """Refuse another body than a form with files, before any of it is read.

    Raises:
        Problem: 415.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "multipart/form-data":
        raise Problem(415, "Send the PDF as the field `file` of a form: Content-Type multipart/form-data.")


async def _read_form(request: Request) -> FormData:
    """Return the multipart form: at most a file and a field."""
    try:
        return await request.form(max_files=2, max_fields=2)
    except HTTPException as error:
        if error.status_code != 400:
            raise
        raise Problem.invalid(FieldError("", f"This is not a form that can be read: {error.detail}")) from None
    except OSError as error:
        raise StorageFailed(f"an upload could not be kept while it came in: {error}") from error


def _parts(form: FormData) -> tuple[UploadFile, dict[str, JsonValue]]:
    """Return the file and the metadata, or answer 422 with everything that is wrong."""
    errors = [FieldError(f"/{name}", "There is no such field.") for name in form if name not in ("file", "metadata")]
    errors += [FieldError(f"/{name}", "This field is given twice.") for name in form if len(form.getlist(name)) > 1]
    file, metadata = form.get("file"), form.get("metadata", "{}")
    if not isinstance(file, UploadFile):
        errors.append(FieldError("/file", "A file is required."))
    value: JsonValue = None
    try:
        value = parse_json(metadata) if isinstance(metadata, str) else None
    except NotStrictJson as error:
        errors.append(FieldError(f"/metadata{error.pointer}"[:MAX_POINTER], str(error)))
    else:
        if not isinstance(value, dict):
            errors.append(FieldError("/metadata", "This must be a JSON object."))
    if errors or not isinstance(file, UploadFile) or not isinstance(value, dict):
        raise Problem.invalid(*errors)
    return file, value
