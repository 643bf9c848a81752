"""The report in a real browser: a page beside it measures it at several widths, in light and in dark."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.report.samples import sample_report
from tests.support.debian import need_packages

pytestmark = pytest.mark.debian
NUMBERS = (0, 1, 3, 12, 200)
WIDTHS = (360, 768, 1280)
LIGHT, DARK = 1, 0
"""Chromium's numbers of the schemes that a user may prefer."""
MEASURE = Path(__file__).with_name("measure.js")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with reports, and the page that measures them."""
    need_packages("chromium", "fonts-dejavu-core", program="chromium")
    directory = tmp_path_factory.mktemp("reports")
    for number in NUMBERS:
        text = sample_report(number).replace("<details>", "<details open>")
        (directory / f"{number}.html").write_text(text, encoding="utf-8")
    frames = [
        f'<iframe src="{number}.html" width="{width}" height="900"></iframe>' for number in NUMBERS for width in WIDTHS
    ]
    shutil.copy(MEASURE, directory)
    page = f'<!DOCTYPE html><meta charset="utf-8"><pre></pre>{"".join(frames)}<script src="measure.js"></script>'
    (directory / "all.html").write_text(page, encoding="utf-8")
    return directory


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_a_report_is_readable_at_every_width(directory: Path, scheme: int) -> None:
    command = [
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"),
        *(f"--user-data-dir={directory / 'profile'}", "--virtual-time-budget=5000", "--no-first-run"),
        *(f"--blink-settings=preferredColorScheme={scheme}", (directory / "all.html").as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<pre>(\[.*?\])</pre>", done.stdout, re.DOTALL)
    assert found, done.stdout[:2000] + done.stderr[-2000:]
    seen: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    assert [(one["name"], one["width"]) for one in seen] == [
        (f"{number}.html", width) for number in NUMBERS for width in WIDTHS
    ]
    for one in seen:
        where = f"{one['name']} at {one['width']} px"
        assert one["title"] == "Trainings of recommender", where
        assert one["loaded"] == [], where
        assert one["overflow"] <= 0, where
        assert one["dark"] == (scheme == DARK), where
        assert one["cut"] == [], where
        assert one["overlapping"] == [], where
        assert one["faint"] == [], where
        plots = 0 if one["name"] == "0.html" else 4
        assert one["plots"] == plots, where
