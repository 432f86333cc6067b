"""What the page's server refuses before gradio sees it."""

import json
from pathlib import Path
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_REMOTE = ("http://", "https://")
_FILE = "/gradio_api/file="
_UNUSED = ("/gradio_api/file/", "/gradio_api/proxy=")
"""Other ways to files and addresses."""


class Guard:
    """Middleware that keeps requests small and the server at home.

    Gradio fetches an address that somebody names where a file is wanted, takes as many files as
    are sent at once, and shows a file of an allowed folder whatever it is. Here an address is
    refused, and so is a body that is longer than one upload can be; of the folders of sessions,
    sound alone is handed out: all else is copied before.

    Args:
        app: Receives what is not refused.
        most_bytes: Of a request.
        folders: Those of sessions.
    """

    def __init__(self, app: ASGIApp, *, most_bytes: int, folders: Path) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._folders = folders

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if found := self._found_in_path(scope["path"]):
            await _refuse(found, 403)(scope, receive, send)
            return
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(receive, self._most_bytes)
        except ConnectionError:
            return
        if body is None:
            await _refuse(f"more than {self._most_bytes:,} bytes", 413)(scope, receive, send)
        elif _names_address(body):
            found = "an address where an uploaded file was wanted, or JSON too deep to look for one"
            await _refuse(found, 400)(scope, receive, send)
        else:
            await self._app(scope, _again(body, receive), send)

    def _found_in_path(self, path: str) -> str | None:
        """Return what is wrong with the path of a request; None where nothing is."""
        if path.startswith(_UNUSED) or any(f"={start}" in path.lower() for start in _REMOTE):
            return "an address where a file of this page was wanted"
        _, is_file, name = path.partition(_FILE)
        if is_file and not name.endswith(".wav"):
            folder = Path(name).parent.resolve() if "\0" not in name else self._folders
            if folder.is_relative_to(self._folders):
                return "a file that is not sound"
        return None


def _refuse(found: str, status: int) -> PlainTextResponse:
    return PlainTextResponse(f"refused: found {found}", status_code=status)


async def _read(receive: Receive, most: int) -> bytes | None:
    """Return the body; None where it is longer.

    Raises:
        ConnectionError: If the sender has left.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError
        part = message.get("body", b"")
        size += len(part)
        # what is too much is read and thrown away: who still sends does not hear an answer
        if size > most:
            parts.clear()
        else:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts) if size <= most else None


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what hands a body out once, and then whatever comes."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return left.pop() if left else await receive()

    return receive_again


def _names_address(body: bytes) -> bool:
    """Return whether a file in a JSON document is one to be fetched, or this cannot be told."""
    try:
        values: list[Any] = [json.loads(body)]
    except RecursionError:
        return True
    except ValueError:
        return False  # no JSON, such as an upload: nothing is fetched for it
    while values:
        value = values.pop()
        if isinstance(value, list):
            values += value
        elif isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and path.strip().lower().startswith(_REMOTE):
                return True
            values += value.values()
    return False
