"""Write docs/images/report-*.png: the first screen of the report of `standard`, in a browser.

Needs Chromium, and the packages of the extra `test`.

    python docs/draw_report.py [PAGE]

PAGE: a page that was made before; without it the page of the published records is made.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parent / "images"
TASK = "t-gaussian-gaussian-fit-replace-n-100-t-20"
#: name -> (width, height, colour scheme, part of the page)
SCREENS = {
    "report-light": (1440, 900, "light", ""),
    "report-dark": (1440, 900, "dark", ""),
    "report-phone": (390, 844, "light", ""),
    "report-board": (1440, 900, "light", "board"),
    "report-phone-board": (390, 844, "dark", "board"),
    "report-map": (1440, 900, "light", "map"),
    "report-costs": (1440, 700, "light", "costs"),
    "report-method": (1440, 900, "light", "m-anchor-tuned"),
    "report-task": (1440, 900, "light", TASK),
}
COLOURS = 256  # of a picture, which keeps it small


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("no Chromium is installed; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page = Path(sys.argv[1]) if len(sys.argv) > 1 else made(Path(folder))
        IMAGES.mkdir(exist_ok=True)
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (width, height, scheme, part) in SCREENS.items():
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            tab = context.new_page()
            tab.goto(page.resolve().as_uri() + (f"#{part}" if part else ""))
            save(tab.screenshot(), IMAGES / f"{name}.png")
            context.close()
        browser.close()


def made(folder: Path) -> Path:
    from collapse_bench import results

    return results("standard").report(folder / "standard.html")[0]


def save(screen: bytes, path: Path) -> None:
    """The picture with few colours."""
    picture = Image.open(io.BytesIO(screen)).convert("RGB")
    # the rare colours of lines must stay what they are
    few = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)
    few.save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
