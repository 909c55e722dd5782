"""The page in a real browser: nothing is cut off on a phone, and what is folded can be opened."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from playground.report import build
from tests.report.conftest import Store

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FOUND = next((path for name in BROWSERS if (path := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(FOUND is None, reason=f"none of {', '.join(BROWSERS)} is here")

# What the page looks like to the browser, told to the frame around it.
ASK = """
<script>
window.onerror = (text) => { document.body.dataset.error = text; };
addEventListener("load", () => {
  const box = (one) => { const at = one.getBoundingClientRect(); return [at.width, at.height]; };
  const details = document.querySelector("details");
  const before = details.querySelector("table").checkVisibility();
  details.open = true;
  const said = {
    screen: innerWidth,
    page: document.documentElement.scrollWidth,
    figures: [...document.querySelectorAll("svg")].map(box),
    letters: Math.min(...[...document.querySelectorAll("svg text")].map(
      (one) => one.getBoundingClientRect().height)),
    shown: [before, details.querySelector("table").checkVisibility()],
    rows: document.querySelectorAll("section table tbody tr").length,
    loaded: performance.getEntriesByType("resource").length,
    error: document.body.dataset.error || "",
  };
  parent.postMessage(JSON.stringify(said), "*");
});
</script>
"""


def opened(page: str, folder: Path, width: int) -> dict[str, Any]:
    """What the browser says of the page in a window of so many pixels."""
    (folder / "page.html").write_text(page.replace("</main>", f"</main>{ASK}"))
    # A headless window has a least width of its own; a frame has not.
    frame = folder / "frame.html"
    frame.write_text(
        "<script>onmessage = (said) => { document.body.textContent = said.data; };</script>"
        f'<body><iframe src="page.html" style="border:0;width:{width}px;height:3000px"></body>'
    )
    command = [
        str(FOUND),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ]
    done = subprocess.run(
        [*command, frame.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    said = re.search(r"<body>(\{.*?\})\s*</body>", done.stdout, re.DOTALL)
    assert said is not None, (done.stdout[-500:], done.stderr[-500:])
    return json.loads(said[1])


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_screen(finished: Store, tmp_path: Path, width: int):
    said = opened(build(finished.sweep, finished.runs).html(), tmp_path, width)
    assert said["error"] == ""
    assert said["screen"] == width
    assert said["page"] <= width
    assert len(said["figures"]) >= 3
    assert all(0 < w <= width and h > 50 for w, h in said["figures"])
    assert said["letters"] >= 8
    assert said["shown"] == [False, True]
    assert said["rows"] > 10
    assert said["loaded"] == 0  # it needs no other file
