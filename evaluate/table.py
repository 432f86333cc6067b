"""Put the tables of all results into a Markdown page:  python table.py --help."""

from pathlib import Path

from notagen.evaluation.results import read_results
from notagen.evaluation.tables import write_tables
from notagen.foundation.config import run_stage
from notagen.stages import EvaluateConfig


def main(config: EvaluateConfig) -> None:
    """Write the tables between the page's two marks."""
    results = read_results(config.results)
    write_tables(config.page, results)
    print(f"{len(results)} results in {config.page}")


if __name__ == "__main__":
    run_stage(main, Path(__file__).with_name("config.py"))
