"""Write tests/durations.json from a JUnit report of all tests: ``make durations``.

usage: python -m scripts.durations REPORT
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET

TESTS = Path(__file__).parents[1] / "tests"
WORTH_A_RECORD = 0.1
"""Seconds."""


def durations(report: str) -> dict[str, dict[str, float]]:
    """Return seconds by file, as paths below tests/, and by test without its parameters; only what takes its time."""
    files: dict[str, float] = defaultdict(float)
    tests: dict[str, float] = defaultdict(float)
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - pytest's own report
        path = case.attrib["classname"].replace(".", "/") + ".py"
        seconds = float(case.attrib["time"])
        files[path.removeprefix("tests/")] += seconds
        name = f"{path}::{case.attrib['name'].partition('[')[0]}"
        tests[name] = max(tests[name], seconds)
    return {
        "files": {name: round(files[name]) for name in sorted(files) if files[name] >= 1.0},
        "tests": {name: round(tests[name], 1) for name in sorted(tests) if tests[name] >= WORTH_A_RECORD},
    }


if __name__ == "__main__":
    result = durations(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (TESTS / "durations.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
