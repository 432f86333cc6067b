import json
import subprocess
import sys
from pathlib import Path

from tests.notation.malformed import SECONDS

ROOT = Path(__file__).parents[2]


def test_two_hundred_broken_files_are_refused_in_one_line_each(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.notation.malformed", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 200
    for answer in answers:
        assert answer["answer"].startswith(f"{tmp_path}/{answer['name']}: "), answer
        assert "\n" not in answer["answer"]
        assert len(answer["answer"]) < len(str(tmp_path)) + 300
        assert answer["seconds"] < SECONDS, answer
