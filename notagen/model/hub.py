"""Files of the Hugging Face hub: downloaded once, verified, then read from the hub's own cache.

The hub's client tells where a file is and keeps the cache. The download itself is ours: since its
version 2 the client throws away what it has of a file when it is stopped, and it compares no
checksum. Here a file that broke off is gone on with, and none enters the cache unverified.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import (
    HfFileMetadata,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from notagen.foundation.errors import InputError
from notagen.foundation.files import sha256


@dataclass(frozen=True)
class PublishedFile:
    """A file in a repository of the Hugging Face hub."""

    repository: str
    """Owner and name, with a slash between them."""
    file: str
    """Path inside the repository."""

    @property
    def url(self) -> str:
        """Where a browser can download it too."""
        return hf_hub_url(self.repository, self.file)


def cached(published: PublishedFile) -> Path | None:
    """Return the file's path in the hub's cache, None where it must be downloaded first."""
    path = try_to_load_from_cache(published.repository, published.file)
    return Path(path) if isinstance(path, str) else None


def download(published: PublishedFile) -> Path:
    """Return the file's path in the hub's cache (`HF_HOME`), downloading what is not there.

    A file in the cache is used without asking the hub. A download that was stopped goes on where
    it was, in any later run; processes that want the same file wait for the first.

    Raises:
        InputError: If the file cannot be had (no network, `HF_HUB_OFFLINE`, unknown, not public,
            no room), or what came has not the SHA-256 that the hub names. That file is removed.
    """
    if path := cached(published):
        return path
    try:
        metadata = get_hf_file_metadata(published.url)
        _download_blob(published, metadata)
        # the content is there by now: this enters it into the cache under its name
        return Path(hf_hub_download(published.repository, published.file))
    except InputError:
        raise
    except Exception as error:  # its HTTP library and that one's errors differ between versions
        raise InputError(
            f"{published.file} of {published.repository} could not be downloaded: "
            f"{_reason(error)}; run it again, or download {published.url} by hand and "
            "give the file's path"
        ) from error


def _download_blob(published: PublishedFile, metadata: HfFileMetadata) -> None:
    """Download the content to where the hub's cache keeps it: a file named by its SHA-256."""
    digest, size = metadata.etag or "", metadata.size
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise InputError(f"{published.url}: found no SHA-256 named by the hub, wanted one")
    name = repo_folder_name(repo_id=published.repository, repo_type="model")
    cache = Path(constants.HF_HUB_CACHE)
    blob = cache / name / "blobs" / digest
    part, lock = blob.with_suffix(".incomplete"), cache / ".locks" / name / f"{digest}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            return
        have = part.stat().st_size if part.exists() else 0
        if size is not None and have > size:
            part.unlink()
            have = 0
        with part.open("ab") as file:
            http_get(
                published.url,
                file,
                resume_size=have,
                headers=build_hf_headers(),
                expected_size=size,
                displayed_filename=published.file,
            )
        if (found := sha256(part)) != digest:
            part.unlink()
            raise InputError(
                f"{published.url}: found a file of SHA-256 {found}, wanted {digest}; it was "
                "removed, run it again to download it anew"
            )
        part.replace(blob)


def _reason(error: Exception) -> str:
    """Return what went wrong, in one line."""
    if isinstance(error, HfHubHTTPError):
        return f"the server answered {error.response.status_code}"
    return " ".join(str(error).split()) or type(error).__name__
