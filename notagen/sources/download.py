"""Archives from the web: downloaded and unpacked whole or not at all, and never past a size."""

import hashlib
import http.client
import lzma
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from notagen.foundation.errors import InputError
from notagen.foundation.files import inside, replaced_when_done

_SECONDS = 60
_CHUNK = 1 << 20
MAX_ARCHIVE = 4_000_000_000
MAX_FILE = 100_000_000
MAX_UNPACKED = 8_000_000_000
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError),
    UnicodeDecodeError,
)
"""What `zipfile` raises over broken archives, encrypted ones, and methods that it does not know."""


class _NeverLessSafe(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere, but not from https to where anyone on the way may write."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,  # noqa: ANN401 -- as in the parent
        code: int,
        msg: str,
        headers: Any,  # noqa: ANN401
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith(("https://", f"{req.type}://")):
            raise InputError(f"{req.full_url}: leads to {newurl}; wanted {req.type}://")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, target: Path, *, max_bytes: int = MAX_ARCHIVE) -> str:
    """Download a file, and return its SHA-256.

    Args:
        url: Beginning with `https://` or `http://`.
        target: Stays as it is unless all of the file arrived.
        max_bytes: More than that is not taken.

    Raises:
        InputError: If the server cannot be reached, refuses, breaks off, sends too much, or leads
            from https to a place without it.
    """
    if not url.startswith(("https://", "http://")):
        raise InputError(f"{url}: wanted an address that begins with https:// or http://")
    digest, received = hashlib.sha256(), 0
    opener = urllib.request.build_opener(_NeverLessSafe)
    try:
        with (
            opener.open(url, timeout=_SECONDS) as response,
            replaced_when_done(target) as temporary,
            temporary.open("wb") as file,
        ):
            announced = response.headers.get("Content-Length", "")
            while chunk := response.read(_CHUNK):
                received += len(chunk)
                if received > max_bytes:
                    raise InputError(f"{url}: found more than {max_bytes} bytes")
                digest.update(chunk)
                file.write(chunk)
            if announced.isdecimal() and received != int(announced):
                raise InputError(f"{url}: found {received} of {announced} bytes; run it again")
    except urllib.error.HTTPError as error:
        raise InputError(f"{url}: the server answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise InputError(f"{url}: cannot be reached: {error.reason}") from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise InputError(f"{url}: broke off: {type(error).__name__}: {error}") from error
    return digest.hexdigest()


def unpack(
    archive: Path,
    folder: Path,
    *,
    wanted: Callable[[str], bool],
    max_file: int = MAX_FILE,
    max_unpacked: int = MAX_UNPACKED,
) -> int:
    """Unpack an archive's wanted files below `folder`, and return their number.

    Args:
        archive: A zip file whose content lies in one folder, as GitHub makes them; that folder's
            name is dropped.
        folder: Appears when all is unpacked; it must not be there before.
        wanted: Tells from a path inside the archive whether the file is of use.
        max_file: Bytes of one file, unpacked.
        max_unpacked: Bytes of all of them.

    Raises:
        InputError: If the archive is damaged, leads out of the folder, is larger than allowed, or
            holds nothing that is wanted.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    count, total = 0, 0
    try:
        with zipfile.ZipFile(archive) as content:
            for member in content.infolist():
                path = member.filename.partition("/")[2]
                if member.is_dir() or not path or not wanted(path):
                    continue
                if "\\" in path or "\0" in path:
                    raise InputError(f"{path!r} leads out of {folder}; wanted a path inside it")
                target = inside(temporary, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, target.open("xb") as file:
                    size = _copy(source.read, file.write, min(max_file, max_unpacked - total))
                if size is None:
                    raise InputError(f"{path}: found more bytes than are taken from an archive")
                count, total = count + 1, total + size
        if not count:
            raise InputError("found no score in it, wanted some")
        temporary.chmod(0o755)
        os.replace(temporary, folder)  # noqa: PTH105 -- Path.rename differs on Windows
    except InputError as error:
        raise InputError(f"{archive}: {error}") from error
    except _DAMAGED as error:
        raise InputError(f"{archive}: damaged archive: {error}; remove it and run again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return count


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object], limit: int) -> int | None:
    """Copy at most `limit` bytes, whatever the archive says of their number; None if more came."""
    copied = 0
    while chunk := read(_CHUNK):
        copied += len(chunk)
        if copied > limit:
            return None
        write(chunk)
    return copied
