"""A local page: choose a style, watch the score being written, hear it, keep it.

    python app.py

Every setting is a flag:  python app.py --help
"""

import os
import time
from pathlib import Path
from threading import Thread

# before gradio is imported: nothing is told to anybody, and no fonts or weights are fetched
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
import torch
from starlette.middleware import Middleware

from notagen.foundation.config import run_stage
from notagen.notation.musicxml import abc_to_musicxml
from notagen.page.actions import Actions
from notagen.page.guard import Guard
from notagen.page.layout import HEAD, build_page
from notagen.page.studio import Studio
from notagen.page.takes import Sessions
from notagen.render.engrave import engrave_played
from notagen.stages import find_device, find_precision
from notagen.stages.page import PageConfig

BAR = "X:1\nL:1/8\nM:4/4\nK:C\nV:1\nc8|\n"


def main(config: PageConfig) -> None:
    """Load the weights and serve the page until it is stopped."""
    torch.set_num_threads(config.threads)
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
    page = build_page(config, Actions(config, studio, sessions))
    page.queue(default_concurrency_limit=8)
    page.launch(
        server_name=config.host,
        server_port=config.port,
        inbrowser=config.open_browser,
        share=False,
        # not what was uploaded: that is handed out as a download, never shown
        allowed_paths=[str(sessions.folders)],
        max_file_size=config.max_upload,
        app_kwargs={"middleware": [Middleware(Guard, most_bytes=config.max_request)]},
        footer_links=["api"],
        head=HEAD,
        theme=gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        show_error=True,
        ssr_mode=False,
    )


def remove_hourly(sessions: Sessions) -> None:
    """Remove old files every hour, also while nobody comes."""
    while True:
        time.sleep(3600)
        sessions.remove_old()


def warm_up() -> None:
    """Engrave a bar, so that the first piece need not wait for the engraver."""
    engrave_played(abc_to_musicxml(BAR))


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
