"""The mission report in a real browser: it draws without a complaint, in light, in dark, on a phone and on paper."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.browser import BROWSER, QUIET, needs_browser

from orbitloop_mission.report import read_report, render_page

GOLDEN = Path(__file__).parents[1] / "golden" / "report-three-rounds.json"
FLAGS = (*QUIET, "--hide-scrollbars", "--enable-logging=stderr")
POLICY = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")
MEASURE = "<script>document.title = document.documentElement.scrollWidth</script>"

pytestmark = needs_browser


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of opening a page."""

    document: str
    complaints: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """Headless Chromium with a profile of its own for every page."""

    folder: Path

    def open(self, page: Path, *flags: str) -> Seen:
        """Load ``page``; give its document and what the console said."""
        ran = self._run(page, ("--dump-dom", *flags))
        return Seen(
            document=ran.stdout,
            complaints=tuple(line for line in ran.stderr.splitlines() if "CONSOLE" in line),
        )

    def picture(self, page: Path, *flags: str) -> Image.Image:
        """A screenshot of ``page``."""
        path = self.folder / f"{page.stem}.png"
        self._run(page, (f"--screenshot={path}", *flags))
        with Image.open(path) as image:
            return image.convert("RGB")

    def paper(self, page: Path) -> bytes:
        """``page`` as it is printed."""
        path = self.folder / f"{page.stem}.pdf"
        self._run(page, (f"--print-to-pdf={path}",))
        return path.read_bytes()

    def _run(self, page: Path, flags: Sequence[str]) -> subprocess.CompletedProcess[str]:
        assert BROWSER, "no chromium found; .ci/run installs it"
        profile = self.folder / "profile"
        shutil.rmtree(profile, ignore_errors=True)
        ran = subprocess.run(
            [BROWSER, *FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(folder=tmp_path)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden report, drawn with made-up pictures."""
    report = read_report(GOLDEN)
    pictures = {tile.image: noise(tile.window.width, tile.window.height) for tile in report.gallery}
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(report, pictures))
    return path


def noise(width: int, height: int) -> bytes:
    """A picture of no particular thing."""
    pixels = np.random.default_rng(7).integers(60, 200, (height, width, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "webp", quality=30)
    return stream.getvalue()


def brightness(image: Image.Image) -> float:
    """Median of the picture's brightness: that of its ground."""
    return float(np.median(np.asarray(image.convert("L"))))


def test_the_page_draws_without_a_complaint(browser: Browser, page: Path) -> None:
    seen = browser.open(page)
    assert seen.complaints == ()
    assert "Three rounds of learning raised" in seen.document
    assert seen.document.rstrip().endswith("</html>")


def test_a_complaint_would_be_noticed(browser: Browser, page: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.html"
    spoiled.write_text(page.read_text().replace("</body>", "<img src='elsewhere.png'></body>"))
    assert any("Content Security Policy" in line for line in browser.open(spoiled).complaints)


def test_the_page_is_light_or_dark_as_its_reader_prefers(browser: Browser, page: Path) -> None:
    size = "--window-size=1240,900"
    assert brightness(browser.picture(page, size)) > 240
    assert brightness(browser.picture(page, size, "--blink-settings=preferredColorScheme=0")) < 40


@pytest.mark.parametrize("width", [320, 360, 768, 901, 1240])
def test_nothing_is_wider_than_the_screen(browser: Browser, page: Path, tmp_path: Path, width: int) -> None:
    # A window has a least width, a frame in it has none. The page forbids scripts, so the copy that measures does not.
    framed = tmp_path / "framed.html"
    framed.write_text(POLICY.sub("", page.read_text()).replace("</body>", f"{MEASURE}</body>"))
    screen = tmp_path / "screen.html"
    screen.write_text(
        f"<body><iframe id=it src=framed.html width={width} height=800 "
        "onload='document.title = it.contentDocument.title'></iframe></body>"
    )
    seen = browser.open(screen, "--allow-file-access-from-files", "--window-size=1400,900")
    found = re.search(r"<title>(\d+)</title>", seen.document)
    assert found is not None, seen
    assert int(found[1]) <= width


def test_the_gallery_shows_its_pictures(browser: Browser, page: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery.html"
    text = page.read_text()
    gallery.write_text(
        text.replace(
            "</style>", "main > section:not([aria-labelledby=gallery]), header, footer { display: none }</style>"
        )
    )
    shot = np.asarray(browser.picture(gallery, "--window-size=1240,900").convert("L"), np.float64)
    assert shot[200:400, 100:300].std() > 15


def test_the_page_can_be_printed(browser: Browser, page: Path) -> None:
    printed = browser.paper(page)
    assert printed.startswith(b"%PDF")
    assert len(printed) > 50_000
