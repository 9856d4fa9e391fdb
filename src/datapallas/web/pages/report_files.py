"""The files beside report.toml: bring one, take one, delete one.

Must stay true: a file comes in pieces onto the disk, never whole into memory; a file that holds a password is not
given out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from datapallas.errors import UsageError
from datapallas.reports import paths
from datapallas.reports.flaws import FILE
from datapallas.reports.masking import password_files
from datapallas.reports.uploads import Upload
from datapallas.web.guard import needs
from datapallas.web.pages.answers import page
from datapallas.web.pages.report_given import stored
from datapallas.web.pages.report_view import files_of
from datapallas.web.services import Asking, Parts
from datapallas.web.who import Role

if TYPE_CHECKING:
    from pathlib import Path

    from datapallas.web.services import Services

router = APIRouter()
_ONE = "/reports/{code}/files/{name:path}"


@router.get(_ONE, dependencies=[Depends(needs(Role.OPERATOR))], include_in_schema=False)
def take(code: str, name: str, parts: Parts) -> Response:
    """One of them, as it is; the browser keeps it and shows nothing of it."""
    path = _plain_file(parts, code, name)
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(path.name, safe='')}"}
    return FileResponse(path, headers=headers, media_type="application/octet-stream")


@router.put(_ONE, dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
async def bring(request: Request, code: str, name: str, parts: Parts, asking: Asking) -> Response:
    """Put a file beside report.toml, or in the place of the one of this name."""
    upload = await run_in_threadpool(Upload, parts.reports.reports, code, name)
    with upload:
        async for piece in request.stream():
            await run_in_threadpool(upload.write, piece)
        await run_in_threadpool(upload.take)
    await run_in_threadpool(lambda: parts.audit.write(asking, "report-file-saved", report=code, file=name))
    return await run_in_threadpool(_files, request, parts, code)


@router.delete(_ONE, dependencies=[Depends(needs(Role.ADMIN))], include_in_schema=False)
def delete(request: Request, code: str, name: str, parts: Parts, asking: Asking) -> Response:
    """Delete one of them; the page has asked."""
    parts.reports.reports.delete_file(code, name)
    parts.audit.write(asking, "report-file-deleted", report=code, file=name)
    return _files(request, parts, code)


def _files(request: Request, parts: Services, code: str) -> Response:
    one = stored(parts.reports.reports, code)
    return page(request, "_report_files.html", code=code, files=files_of(parts, one), editable=True)


def _plain_file(parts: Services, code: str, name: str) -> Path:
    """The path of a file that may be given out. Raises UsageError (code `report-file`), ConfigurationError."""
    reports = parts.reports.reports
    path = paths.inside(reports.folder(code), name)
    hidden = password_files(stored(reports, code).text)
    known = name in reports.files(code) and name != FILE
    if not known or any(path.resolve() == (reports.folder(code) / one).resolve() for one in hidden):
        raise UsageError(f"There is no file {name!r}.", code="report-file", reason="it is not there")
    return path.resolve()
