"""The files of the page: styles, scripts, icons; all of them in the package, none from elsewhere.

Must stay true: only files that were found in `static/` at the start are given out, by exact name, so no path leads
anywhere else; the address a page uses names the content, so a browser may keep the file for good.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
from importlib import resources
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.responses import Response

from datapallas.web.roles import public

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "webp": "image/webp",
}
"""By the end of the name; what is not here is not given out."""
FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"

router = APIRouter()


@dataclasses.dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, the same compressed, its type and what names its content."""

    data: bytes
    packed: bytes
    kind: str
    version: str


@functools.cache
def assets() -> Mapping[str, Asset]:
    """Every file by its name below `static/`."""
    return {
        name: _asset(name, file) for name, file in _walk(resources.files("datapallas.web") / "static", "")
    }


def address(name: str) -> str:
    """The address of a file for a page. Raises KeyError when there is no such file."""
    return f"/static/{name}?v={assets()[name].version}"


@router.get("/static/{name:path}", dependencies=[Depends(public)], include_in_schema=False)
async def static(name: str, request: Request) -> Response:
    """One file; 304 when the browser has it."""
    asset = assets().get(name)
    if asset is None:
        raise HTTPException(404)
    kept = FOR_GOOD if request.query_params.get("v") == asset.version else ASK_AGAIN
    headers = {"cache-control": kept, "etag": f'"{asset.version}"', "vary": "accept-encoding"}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", "") and len(asset.packed) < len(asset.data):
        return Response(asset.packed, headers=headers | {"content-encoding": "gzip"}, media_type=asset.kind)
    return Response(asset.data, headers=headers, media_type=asset.kind)


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in KINDS:
            yield prefix + entry.name, entry


def _asset(name: str, file: Traversable) -> Asset:
    data = file.read_bytes()
    version = hashlib.sha256(data).hexdigest()[:16]
    return Asset(data, gzip.compress(data, mtime=0), KINDS[name.rpartition(".")[2]], version)
