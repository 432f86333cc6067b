"""A web server of our own that stands in for GitHub, since the tests have no network."""

import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def server(
    pages: Mapping[str, bytes],
    *,
    missing_bytes: int = 0,
    redirects: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """Serve pages by path; yield the address and the paths that were asked for.

    Args:
        pages: Content by path.
        missing_bytes: So many are announced, but never sent.
        redirects: Where paths lead elsewhere.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = pages.get(self.path)
            elsewhere = (redirects or {}).get(self.path)
            self.send_response(302 if elsewhere else 404 if content is None else 200)
            if elsewhere:
                self.send_header("Location", elsewhere)
            self.send_header("Content-Length", str(len(content or b"") + missing_bytes))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{web.server_port}", asked
        finally:
            web.shutdown()
            thread.join()


def zipped(files: Mapping[str, bytes], *, root: str = "Repo-abc/") -> bytes:
    """Return an archive as GitHub makes them, all in one folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(root, b"")
        for name, content in files.items():
            archive.writestr(root + name, content)
    return buffer.getvalue()
