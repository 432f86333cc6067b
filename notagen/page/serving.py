"""The page's server, from its start to its end."""

import os
import sys
import time
from threading import Thread

# before gradio is imported: nothing is told to anybody, and no fonts or weights are fetched
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import torch
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from notagen.foundation.errors import MissingInputError
from notagen.foundation.limits import share_workers
from notagen.notation.midi import musicxml_to_midi
from notagen.notation.musicxml import abc_to_musicxml
from notagen.page.actions import Actions
from notagen.page.guard import Guard
from notagen.page.layout import HEAD, build_page
from notagen.page.studio import Studio
from notagen.page.takes import Sessions
from notagen.render.audio import audio
from notagen.render.engrave import engrave_played
from notagen.render.pdf import to_png
from notagen.stages import find_device, find_precision
from notagen.stages.page import LOCAL_HOSTS, PageConfig

BAR = "X:1\nL:1/8\nM:4/4\nK:C\nV:1\nc8|\n"


def main(config: PageConfig) -> None:
    """Serve the page until it is stopped."""
    try:
        serve(config)
    except KeyboardInterrupt:
        print("\nThe page is closed.")


def serve(config: PageConfig) -> None:
    """Load the weights and serve the page."""
    print(f"Reading {config.weights}", flush=True)
    check_ready(config)
    torch.set_num_threads(config.threads)
    # one session's upload or PDF need not wait for another's
    share_workers(config.at_once + 2)
    fastest = torch.accelerator.current_accelerator(check_available=True)
    device = find_device(config.device, fastest or torch.device("cpu"))
    studio = Studio(
        config.score_weights,
        device=device,
        precision=find_precision(config.precision, device),
        max_seconds=config.max_seconds,
        at_once=config.at_once,
        most_waiting=config.queue,
    )
    studio.load(str(config.weights))
    # the engraver's process starts while the page does
    Thread(target=warm_up, daemon=True).start()
    sessions = Sessions(config.out, keep_hours=config.keep_hours)
    # what gradio copies lies beside the sessions, not where every user of the machine can read it
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.served)
    Thread(target=remove_hourly, args=[sessions], daemon=True).start()
    guards = [Middleware(Guard, most_bytes=config.max_request, folders=sessions.folders)]
    if config.is_local:
        # no page of somebody else's reaches this one by a name that leads here
        guards.append(Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_HOSTS))
    page = build_page(config, Actions(config, studio, sessions))
    # nobody goes round the queue
    page.queue(default_concurrency_limit=8, api_open=False)
    _, address, _ = page.launch(
        server_name=config.host,
        server_port=config.port,
        inbrowser=config.open_browser,
        share=False,
        # not what was uploaded: that is handed out as a download, never shown
        allowed_paths=[str(sessions.folders)],
        max_file_size=config.max_upload,
        app_kwargs={"middleware": guards},
        prevent_thread_lock=True,
        quiet=True,
        footer_links=["api"],
        head=HEAD,
        theme=gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        show_error=True,
        ssr_mode=False,
    )
    print(f"The page is at {address.rstrip('/')} (Ctrl-C closes it)", flush=True)
    try:
        while page.is_running:
            time.sleep(0.5)
    finally:
        page.close(verbose=False)


def check_ready(config: PageConfig) -> None:
    """Check that nothing is missing which is needed only when a piece is written already.

    Raises:
        MissingInputError: If something is.
    """
    for path in (config.score_weights / "reference.npz", config.soundfont):
        if path and not path.is_file():
            raise MissingInputError(f"{path} is not there, which the page needs")


def remove_hourly(sessions: Sessions) -> None:
    """Remove old files every hour, also while nobody comes."""
    while True:
        time.sleep(3600)
        try:
            sessions.remove_old()
        except OSError as error:
            print(f"old files could not be removed: {error}", file=sys.stderr)


def warm_up() -> None:
    """Make each form of a bar, so that the first piece need not wait for what makes them."""
    musicxml = abc_to_musicxml(BAR)
    to_png(engrave_played(musicxml).pages[0], width=1)
    audio(musicxml_to_midi(musicxml), form="wav")
