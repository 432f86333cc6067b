"""A local page: choose a style, watch the score being written, hear it, keep it.

    python app.py

Every setting is a flag:  python app.py --help
"""

from pathlib import Path

from notagen.foundation.config import run_stage

if __name__ == "__main__":
    # here: the engraver's processes read this file too, and start in a second without
    from notagen.page.serving import main

    run_stage(main, Path(__file__).with_name("config.py"))
