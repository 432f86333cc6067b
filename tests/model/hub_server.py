"""A hub of our own that the real client asks, since the tests have no network."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants


@dataclass
class Hub:
    """What the server sends, and what it was asked."""

    content: bytes
    """Sent for every file, in ranges where they are asked for."""
    digest: str = ""
    """Named as the file's SHA-256; unless given, that of the content."""
    status: int = 200
    """Of the answer to where a file is; 200 leads on to its content."""
    cut: int | None = None
    """The next answer breaks off after so many bytes."""
    cut_status: int = 206
    """Of later answers to a range; 200 sends all of the file."""
    asked: list[str] = field(default_factory=list)
    """Method and path of each request for a file, and its range."""

    def __post_init__(self) -> None:
        self.digest = self.digest or hashlib.sha256(self.content).hexdigest()

    def contents(self) -> list[str]:
        """Return the requests for content."""
        return [line for line in self.asked if line.startswith("GET /content")]


@contextmanager
def local_hub(state: Hub, cache: Path) -> Iterator[None]:
    """Let the hub's client ask a server of our own, and keep its cache in a folder."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            state.asked.append(f"HEAD {self.path}")
            self.say_where()

        def do_GET(self) -> None:
            if self.path.startswith("/api/"):
                # once a day the client asks for a list of its own: not of weights
                return self.send_error(404)
            span = self.headers.get("Range", "")
            state.asked.append(f"GET {self.path} {span}".rstrip())
            if "/resolve/" in self.path:
                return self.say_where()
            start = int(re.fullmatch(r"bytes=(\d+)-", span)[1]) if span else 0
            if span and state.cut_status >= 400:
                return self.send_error(state.cut_status)
            if span and state.cut_status == 206:
                self.send_response(206)
                last = len(state.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
            else:
                start = 0
                self.send_response(200)
            self.send_header("Content-Length", str(len(state.content) - start))
            self.end_headers()
            until, state.cut = state.cut, None
            self.wfile.write(state.content[start:until])
            return None

        def say_where(self) -> None:
            # as the hub does: on another host, whose answers the client takes for content alone
            self.send_response(302 if state.status == 200 else state.status)
            self.send_header("Location", f"http://localhost:{web.server_port}/content")
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("X-Linked-Etag", f'"{state.digest}"')
            self.send_header("X-Linked-Size", str(len(state.content)))
            if state.status == 404:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web,
        pytest.MonkeyPatch.context() as patch,
    ):
        address = f"http://127.0.0.1:{web.server_port}"
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "ENDPOINT", address)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
        # what the user is to the hub, and the user's way to the network, stay out of it
        patch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        huggingface_hub.close_session()
        thread = threading.Thread(target=web.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            web.shutdown()
            thread.join()
            huggingface_hub.close_session()
