"""Opens HTML pages in headless Chromium and reports what is wrong with them.

    python scripts/check_pages.py FILES...

At the width of a phone and of a desktop: errors in the console, images that are not shown, requests that leave the
file, a page that scrolls sideways. Exit code 1 if a page has a fault, 2 if there is no Chromium. CHROMIUM names the
browser where it is not on the PATH as chromium, chromium-browser or google-chrome.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZES = {"phone": 360, "desktop": 1280}  # CSS pixels
SECONDS = 120

# Runs in a frame of the width under test, as headless windows are never narrower than some 500 pixels.
SCRIPT = """
<script>
window.addEventListener("load", async () => {
  const results = {};
  for (const [name, width] of Object.entries(SIZES)) {
    const frame = document.createElement("iframe");
    frame.style.cssText = `width:${width}px;height:800px;border:0`;
    frame.srcdoc = PAGE;
    await new Promise((done) => { frame.onload = done; document.body.append(frame); });
    const page = frame.contentDocument;
    const images = [...page.images];
    await Promise.all(images.map((image) => image.decode().catch(() => null)));
    const inner = page.documentElement.clientWidth;
    results[name] = {
      images: images.length,
      missing: images.filter((image) => !image.complete || image.naturalWidth === 0).map((image) => image.alt),
      overflow: page.documentElement.scrollWidth - inner,
      wide: [...page.querySelectorAll("main *")].filter((element) => !element.closest(".table, pre, .display")
        && element.getBoundingClientRect().right > inner + 1).map((element) => element.tagName).slice(0, 5),
      requests: frame.contentWindow.performance.getEntriesByType("resource").map((entry) => entry.name)
        .filter((address) => !address.startsWith("data:")),
    };
    frame.remove();
  }
  document.title = "checked";
  document.body.textContent = "RESULT" + JSON.stringify(results) + "END";
});
</script>
"""


def find_browser() -> str | None:
    """The path of a Chromium, or None."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


def faults_of(path: str, browser: str) -> list[str]:
    """What is wrong with a page, in sentences."""
    page = json.dumps(Path(path).read_text(encoding="utf-8")).replace("</", "<\\/")
    script = SCRIPT.replace("PAGE", page).replace("SIZES", json.dumps(SIZES))
    with tempfile.TemporaryDirectory() as folder:
        harness = Path(folder) / "harness.html"
        harness.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{script}', encoding="utf-8")
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                   f"--user-data-dir={folder}/profile", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=60000",
                   "--timeout=90000", "--dump-dom", harness.as_uri()]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    found = re.search(r"RESULT(\{.*\})END", done.stdout, re.DOTALL)
    if not found:
        return [f"the browser gave no result: {done.stderr[-500:]}"]
    faults = [f"console: {line}" for line in done.stderr.splitlines() if "CONSOLE" in line]
    for name, result in json.loads(html.unescape(found[1])).items():
        faults += [f"{name}: image not shown: {alt}" for alt in result["missing"]]
        faults += [f"{name}: request for {address}" for address in result["requests"]]
        if result["overflow"] > 0 or result["wide"]:
            faults.append(f"{name}: too wide by {result['overflow']} pixels: {', '.join(result['wide'])}")
    return faults


def main(paths: list[str]) -> int:
    """Check the pages; returns the exit code."""
    browser = find_browser()
    if browser is None:
        print("no Chromium on the PATH; name one in the variable CHROMIUM", file=sys.stderr)
        return 2
    bad = 0
    for path in paths:
        faults = faults_of(path, browser)
        bad += bool(faults)
        print(f"{path}: {'; '.join(faults) or 'good'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
