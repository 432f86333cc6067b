"""The page itself: its fields, its buttons, and what they do."""

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
_FIRST = Prompt("Romantic", "Schubert, Franz", "Art Song")

Choices = list[tuple[str, str]]


def build_page(config: PageConfig, actions: Actions) -> gr.Blocks:
    """Return the page, ready to be served."""
    shipped = str(config.weights)
    known = actions.known(shipped)
    first = _FIRST if _FIRST in known else max(known, key=known.__getitem__, default=None)
    with gr.Blocks(
        title="NotaGen", analytics_enabled=False, delete_cache=(3600, int(config.keep_hours * 3600))
    ) as page:
        gr.Markdown("# Sheet music, written here")
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                model = gr.Dropdown(
                    [(config.weights.name, shipped), *PUBLISHED],
                    value=shipped,
                    label="Model",
                    info="one of these, or a path to weights" if config.is_local else None,
                    allow_custom_value=True,
                )
                period = _choice("Period", _periods(known), first.period if first else "")
                composer = _choice("Composer", *_composers(known, first))
                instrumentation = _choice("Instrumentation", *_instrumentations(known, first))
                with gr.Row():
                    bars = gr.Number(16, label="Bars", precision=0, minimum=0, min_width=80)
                    seed = gr.Textbox("", label="Seed", placeholder="any", min_width=80)
                with gr.Accordion("Wishes", open=False):
                    key = gr.Textbox("", label="Key", placeholder="Eb, C minor")
                    metre = gr.Textbox("", label="Metre", placeholder="3/4")
                    tempo = gr.Textbox("", label="Tempo", placeholder="96, 3/8=60")
                    instruments = gr.Textbox("", label="Instruments", placeholder="Voice, Piano")
                with gr.Accordion("Sampling", open=False):
                    temperature = gr.Slider(0.1, 2, 1.2, step=0.05, label="Temperature")
                    top_p = gr.Slider(0.05, 1, 0.9, step=0.05, label="Top-p")
                    top_k = gr.Slider(0, 128, 9, step=1, label="Top-k")
                    variations = gr.Slider(
                        1, config.max_variations, 1, step=1, label="Variations, best first"
                    )
                with gr.Row():
                    compose = gr.Button("Compose", variant="primary", elem_id="compose")
                    stop = gr.Button("Stop", variant="stop", elem_id="stop")
                with gr.Accordion("Continue a score", open=False):
                    # of any type: telephones offer no file whose suffix they do not know
                    upload = gr.File(label="MusicXML, MIDI or ABC")
                    first_bars = gr.Number(0, label="Keep the first bars (0: all)")
                    more_bars = gr.Number(8, label="Bars to write")
                    go_on = gr.Button("Continue the upload", elem_id="continue")
                    write_on = gr.Button("Write on from the shown piece", elem_id="write-on")
            with gr.Column(scale=3, min_width=300):
                status = gr.HTML(elem_id="status", label="Status")
                gr.Slider(40, 200, 100, step=10, label="Zoom, %", elem_id="zoom", interactive=True)
                score = gr.HTML(elem_id="score", label="Score")
                files = gr.File(label="Keep", file_count="multiple", elem_id="files")
                with gr.Accordion("Text", open=False):
                    text = gr.Textbox(label="ABC", lines=12, max_lines=40, elem_id="abc")
                    engrave = gr.Button("Engrave this text", elem_id="engrave")
                with gr.Accordion("Pieces of this session", open=True):
                    history = gr.Gallery(
                        label="Pieces",
                        columns=6,
                        height=260,
                        object_fit="contain",
                        allow_preview=False,
                        elem_id="history",
                    )
                    chosen = gr.Dropdown([], label="Shown", allow_custom_value=True)
                    with gr.Row():
                        left = gr.Dropdown([], label="Left", allow_custom_value=True)
                        right = gr.Dropdown([], label="Right", allow_custom_value=True)
                    compare = gr.Button("Compare side by side", elem_id="compare")
                    both = gr.HTML(elem_id="both", label="Both")
        shown = [status, score, files, text, history, chosen, left, right]
        prompt = [model, period, composer, instrumentation]
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
            return actions.pick(event.index, request)

        history.select(pick, None, shown, api_visibility="private")

        def of_model(model: str) -> tuple[Any, Any, Any]:
            known = actions.known(model)
            first = max(known, key=known.__getitem__, default=None)
            composers, composer = _composers(known, first)
            instrumentations, instrumentation = _instrumentations(known, first)
            return (
                gr.update(choices=_periods(known), value=first.period if first else ""),
                gr.update(choices=composers, value=composer),
                gr.update(choices=instrumentations, value=instrumentation),
            )

        def of_period(model: str, period: str) -> tuple[Any, Any]:
            known = {p: n for p, n in actions.known(model).items() if p.period == period}
            first = max(known, key=known.__getitem__, default=None)
            composers, composer = _composers(known, first)
            instrumentations, instrumentation = _instrumentations(known, first)
            return (
                gr.update(choices=composers, value=composer),
                gr.update(choices=instrumentations, value=instrumentation),
            )

        def of_composer(model: str, period: str, composer: str) -> Any:  # noqa: ANN401 -- an update
            known = {
                p: n
                for p, n in actions.known(model).items()
                if (p.period, p.composer) == (period, composer)
            }
            first = max(known, key=known.__getitem__, default=None)
            choices, value = _instrumentations(known, first)
            return gr.update(choices=choices, value=value)

        private: dict[str, Any] = {"api_visibility": "private", "queue": False}
        model.input(of_model, model, [period, composer, instrumentation], **private)
        period.input(of_period, [model, period], [composer, instrumentation], **private)
        composer.input(of_composer, [model, period, composer], instrumentation, **private)
    return page


def _choice(label: str, choices: Choices, value: str) -> gr.Dropdown:
    # other values are possible: an unlisted combination is written after a warning
    return gr.Dropdown(choices, value=value, label=label, allow_custom_value=True)


def _periods(known: Mapping[Prompt, int]) -> Choices:
    return _counted({p: (p.period, n) for p, n in known.items()})


def _composers(known: Mapping[Prompt, int], first: Prompt | None) -> tuple[Choices, str]:
    if first is None:
        return [], ""
    of_period = {p: (p.composer, n) for p, n in known.items() if p.period == first.period}
    return _counted(of_period), first.composer


def _instrumentations(known: Mapping[Prompt, int], first: Prompt | None) -> tuple[Choices, str]:
    if first is None:
        return [], ""
    style = (first.period, first.composer)
    of_both = {
        p: (p.instrumentation, n) for p, n in known.items() if (p.period, p.composer) == style
    }
    return _counted(of_both), first.instrumentation


def _counted(labels: Mapping[Prompt, tuple[str, int]]) -> Choices:
    """Return labels with the pieces behind them, by the alphabet."""
    counts: dict[str, int] = {}
    for label, count in labels.values():
        counts[label] = counts.get(label, 0) + count
    return [(f"{label} ({counts[label]:,})", label) for label in sorted(counts)]
