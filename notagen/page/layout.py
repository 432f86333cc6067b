"""The page itself: its fields, its buttons, and what they do."""

from collections import Counter
from collections.abc import Mapping
from importlib import resources
from typing import Any

import gradio as gr

from notagen.generation.prompts import Prompt
from notagen.page.actions import PUBLISHED, Actions, Shown
from notagen.render.engrave import page_fonts
from notagen.stages.page import PageConfig

_FILES = resources.files("notagen.page")
HEAD = (
    f"<style>{page_fonts()}\n{(_FILES / 'page.css').read_text(encoding='utf-8')}</style>"
    f"<script>{(_FILES / 'page.js').read_text(encoding='utf-8')}</script>"
)
"""Fonts, looks and the script of the page; nothing of it is fetched from elsewhere."""
_PARTS = ("period", "composer", "instrumentation")
_FIRST = Prompt("Romantic", "Schubert, Franz", "Art Song")

Choices = list[tuple[str, str]]


def build_page(config: PageConfig, actions: Actions) -> gr.Blocks:
    """Return the page, ready to be served."""
    shipped = str(config.weights)
    known = actions.known(shipped)
    first = _FIRST if _FIRST in known else max(known, key=known.__getitem__, default=None)
    style = vars(first) if first else dict.fromkeys(_PARTS, "")
    with gr.Blocks(title="NotaGen", analytics_enabled=False) as page:
        gr.Markdown(
            "# Sheet music, written here\nChoose a style and press **Compose**: the score grows "
            "below, then you can hear it, print it, keep it."
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                model = gr.Dropdown(
                    [
                        (config.weights.name, shipped),
                        *(name for name in PUBLISHED if name != shipped),
                    ],
                    value=shipped,
                    label="Model",
                    info="one of these, which are downloaded once, or a path to weights"
                    if config.is_local
                    else None,
                    allow_custom_value=True,
                )
                period, composer, instrumentation = (
                    # other values are possible: they are written after a warning
                    gr.Dropdown(
                        choices,
                        value=style[part],
                        label=part.capitalize(),
                        allow_custom_value=True,
                    )
                    for part, choices in zip(_PARTS, choices_for(known, style), strict=True)
                )
                with gr.Row():
                    bars = gr.Number(16, label="Bars", precision=0, min_width=80)
                    seed = gr.Textbox("", label="Seed", placeholder="any", min_width=80)
                gr.Markdown(
                    "In brackets: the pieces that the model learned from. Bars 0: as it comes. The "
                    "same seed writes the same piece."
                )
                with gr.Accordion("Wishes", open=False):
                    key = gr.Textbox("", label="Key", placeholder="Eb, C minor")
                    metre = gr.Textbox("", label="Metre", placeholder="3/4")
                    tempo = gr.Textbox("", label="Tempo", placeholder="96, 3/8=60")
                    instruments = gr.Textbox("", label="Instruments", placeholder="Voice, Piano")
                with gr.Accordion("Sampling", open=False):
                    temperature = gr.Slider(
                        0.1, 2, 1.2, step=0.05, label="Temperature", info="more: bolder, less sure"
                    )
                    top_p = gr.Slider(
                        0.05, 1, 0.9, step=0.05, label="Top-p", info="less: only the likeliest"
                    )
                    top_k = gr.Slider(
                        0, 128, 9, step=1, label="Top-k", info="characters to choose from; 0: all"
                    )
                    variations = gr.Slider(
                        1,
                        config.max_variations,
                        1,
                        step=1,
                        label="Variations",
                        info="best first: likeness to real music, 1 at most",
                    )
                with gr.Row():
                    compose = gr.Button("Compose", variant="primary", elem_id="compose")
                    stop = gr.Button("Stop", variant="stop", elem_id="stop")
                with gr.Accordion("Continue a score", open=False):
                    # of any type: telephones offer no file whose suffix they do not know
                    upload = gr.File(label="MusicXML, MIDI or ABC")
                    first_bars = gr.Number(
                        0, label="Keep the first bars", info="0: all", precision=0
                    )
                    more_bars = gr.Number(8, label="Bars to write", precision=0)
                    gr.Markdown("In the style that is chosen above, if the score names none.")
                    go_on = gr.Button("Continue the upload", elem_id="continue")
                    write_on = gr.Button("Write on from the shown piece", elem_id="write-on")
            with gr.Column(scale=3, min_width=300):
                status = gr.HTML(elem_id="status", label="Status")
                with gr.Row():
                    # only the page's script reads it
                    gr.Slider(
                        40, 200, 100, step=10, label="Zoom, %", elem_id="zoom", interactive=True
                    )
                    pdf = gr.DownloadButton("PDF", elem_id="pdf", interactive=False, scale=0)
                score = gr.HTML(elem_id="score", label="Score")
                files = gr.File(
                    label="Files to keep", file_count="multiple", elem_id="files", interactive=False
                )
                with gr.Accordion("ABC text", open=False):
                    text = gr.Textbox(label="ABC", lines=12, max_lines=40, elem_id="abc")
                    engrave = gr.Button("Engrave this text", elem_id="engrave")
                with gr.Accordion("Pieces of this session", open=True):
                    history = gr.Gallery(
                        show_label=False,
                        columns=6,
                        height=260,
                        object_fit="contain",
                        allow_preview=False,
                        elem_id="history",
                    )
                    chosen = gr.Dropdown([], label="Shown piece", allow_custom_value=True)
                    with gr.Row():
                        left = gr.Dropdown([], label="Left", allow_custom_value=True)
                        right = gr.Dropdown([], label="Right", allow_custom_value=True)
                    compare = gr.Button("Compare side by side", elem_id="compare")
                    both = gr.HTML(elem_id="both", label="Both")
        shown = [status, score, files, text, history, chosen, left, right, pdf]
        style_parts = [period, composer, instrumentation]
        prompt = [model, *style_parts]
        drawing = [seed, temperature, top_p, top_k]

        # they line up at the studio, where also one that waits can be stopped
        writing: dict[str, Any] = {"outputs": shown, "concurrency_limit": None}
        compose.click(
            actions.compose,
            [*prompt, key, metre, tempo, bars, instruments, *drawing, variations],
            api_name="compose",
            **writing,
        )
        go_on.click(
            actions.continue_score,
            [upload, more_bars, first_bars, *prompt, *drawing],
            api_name="continue",
            **writing,
        )
        write_on.click(
            actions.write_on,
            [first_bars, more_bars, model, *drawing, chosen],
            api_name="write_on",
            **writing,
        )
        stop.click(actions.stop, None, status, api_name="stop", queue=False)
        engrave.click(actions.engrave_text, text, shown, api_name="engrave")
        chosen.input(actions.choose, chosen, shown, api_name="show")
        compare.click(actions.compare, [left, right], both, api_name="compare")

        def pick(event: gr.SelectData, request: gr.Request) -> Shown:
            return actions.choose(event.value["caption"], request)

        history.select(pick, None, shown, api_visibility="private")

        def follow(model: str, *values: str) -> list[Any]:
            known = actions.known(model)
            style = nearest_style(known, dict(zip(_PARTS, values, strict=True)))
            return [
                gr.update(choices=choices, value=style[part])
                for part, choices in zip(_PARTS, choices_for(known, style), strict=True)
            ]

        def follow_period(*values: str) -> list[Any]:
            return follow(*values)[1:]

        def follow_composer(*values: str) -> Any:  # noqa: ANN401 -- an update
            return follow(*values)[2]

        private: dict[str, Any] = {"api_visibility": "private", "queue": False}
        model.input(follow, prompt, style_parts, **private)
        period.input(follow_period, prompt, style_parts[1:], **private)
        composer.input(follow_composer, prompt, style_parts[2:], **private)
    return page


def choices_for(known: Mapping[Prompt, int], style: Mapping[str, str]) -> list[Choices]:
    """Return what each part can be, given those before it, with the pieces behind it."""
    found = []
    for part in _PARTS:
        counts = Counter[str]()
        for prompt, count in known.items():
            counts[getattr(prompt, part)] += count
        found.append([(f"{label} ({counts[label]:,})", label) for label in sorted(counts)])
        known = _narrowed(known, part, style[part])
    return found


def nearest_style(known: Mapping[Prompt, int], style: Mapping[str, str]) -> dict[str, str]:
    """Return a style whose parts go together.

    A part stays if it goes with those before it, or if no piece at all has it: then it is
    somebody's own word. Else it becomes the one with the most pieces.
    """
    found, here = {}, known
    for part in _PARTS:
        value = style[part]
        if value in _values(known, part) - _values(here, part):
            value = getattr(max(here, key=here.__getitem__), part)
        found[part] = value
        here = _narrowed(here, part, value)
    return found


def _narrowed(known: Mapping[Prompt, int], part: str, value: str) -> Mapping[Prompt, int]:
    """Return the prompts with a value; all where none has it."""
    return {p: n for p, n in known.items() if getattr(p, part) == value} or known


def _values(known: Mapping[Prompt, int], part: str) -> set[str]:
    return {getattr(prompt, part) for prompt in known}
