"""The review page in a real browser: signed in, accepted, fixed, rejected, and what is stored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.browser import Tab, browser_tab, needs_browser
from tests.reviewing import BOXES, SIDE, TOKENS, Desk, desk

from orbitloop.testing.reviews import a_truth
from orbitloop.testing.samples import LAUNCH

pytestmark = needs_browser

TILES = 4


@pytest.fixture
def reviews(tmp_path: Path, keys: Path) -> Iterator[Desk]:
    with desk(tmp_path, keys, tiles=TILES) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    with browser_tab() as tab:
        yield tab


@pytest.fixture
def page(browser: Tab, reviews: Desk) -> Iterator[Tab]:
    """Signed in as ana, at the first tile."""
    browser.complaints.clear()
    browser.screen(1280, 860)
    browser.open(f"{reviews.url}/reviews")
    sign_in(browser, "ana")
    yield browser
    assert browser.complaints == []


def sign_in(tab: Tab, who: str) -> None:
    tab.until("!document.querySelector('#sign-in').hidden")
    tab.write(TOKENS[who])
    tab.press("Enter")
    at_tile(tab, 1)


def at_tile(tab: Tab, number: int) -> None:
    tab.until(
        f"document.querySelector('#place').textContent.startsWith('{number} of {TILES}')"
        " && document.querySelector('#board image')?.getAttribute('href')?.startsWith('blob:')"
        " && !document.querySelector('#work').hasAttribute('aria-busy')"
    )


def on_screen(tab: Tab, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the tile is seen."""
    found = tab.run(
        f"(() => {{ const at = new DOMPoint({x}, {y}).matrixTransform(document.querySelector('#board').getScreenCTM());"
        "return [at.x, at.y] })()"
    )
    return float(found[0]), float(found[1])


def drag(tab: Tab, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one pixel of the tile to another."""
    tab.drag(on_screen(tab, *start), on_screen(tab, *end))


def stored(reviews: Desk, number: int) -> list[list[float]] | None:
    """What was decided on a tile, as ``x0, y0, x1, y1, class``; fails where nothing was."""
    truth = reviews.parts.ledger.decided()[reviews.samples[number]]
    if truth is None:
        return None
    return [[*box, label] for box, label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True)]


def text(tab: Tab, selector: str) -> str:
    return str(tab.run(f"document.querySelector({selector!r}).textContent"))


def test_a_tile_is_accepted_another_fixed_and_another_rejected(page: Tab, reviews: Desk) -> None:
    assert "43 %" in text(page, "#board")
    assert "2, 1 doubtful" in text(page, "#count")
    page.press("a")
    at_tile(page, 2)
    page.press("]", "]")
    drag(page, (BOXES[1][2], 220), (BOXES[1][2] + 20, 220))  # its right edge
    assert text(page, "#accept-word") == "Accept as fixed"
    page.press("a")
    at_tile(page, 3)
    page.press("r")
    at_tile(page, 4)
    assert stored(reviews, 0) == [[*box, 0] for box in BOXES]
    fixed = stored(reviews, 1)
    assert fixed is not None
    assert fixed[0] == [*BOXES[0], 0]
    assert fixed[1][:2] == list(BOXES[1][:2])
    assert fixed[1][2] == pytest.approx(BOXES[1][2] + 20, abs=1.5)
    assert fixed[1][3] == BOXES[1][3]
    assert stored(reviews, 2) is None
    who = {review.verdict.who for review in reviews.parts.ledger.reviews(pending=False) if review.verdict is not None}
    assert who == {"ana"}
    assert "3 decided" in text(page, "#place")
    page.press("a")
    page.until("!document.querySelector('#nothing').hidden")
    assert text(page, "#nothing-title") == f"All {TILES} tiles are decided"
    assert reviews.parts.ledger.pending() == []


def test_boxes_are_moved_drawn_deleted_and_named_by_the_pointer(page: Tab, reviews: Desk) -> None:
    drag(page, (95, 90), (105, 95))
    page.click("[data-key=delete-1]")
    page.click("#draw")
    drag(page, (300, 320), (360, 370))
    page.run(
        "(() => { const at = document.querySelector('[data-key=class-1]'); at.value = '1';"
        "at.dispatchEvent(new Event('change')) })()"
    )
    page.click("#accept")
    at_tile(page, 2)
    moved, drawn = stored(reviews, 0) or []
    assert moved == pytest.approx([70, 65, 140, 125, 0], abs=1)
    assert drawn == pytest.approx([300, 320, 360, 370, 1], abs=1)


def test_everything_can_be_done_by_keys(page: Tab, reviews: Desk) -> None:
    page.press("]")
    page.press("ArrowRight", "ArrowDown")
    page.press("ArrowRight", shift=True)
    page.press("ArrowDown", alt=True)
    page.press("2")
    page.press("]", "x", "b", "Enter")
    page.press("Escape", "z", "z", "z")  # neither the new box nor the deletion, nor the class
    page.press("a")
    at_tile(page, 2)
    assert stored(reviews, 0) == [[71, 61, 141, 122, 0], [*BOXES[1], 0]]
    page.press("n")
    at_tile(page, 3)
    page.press("p")
    at_tile(page, 2)
    page.press("ArrowRight")
    at_tile(page, 3)


def test_what_was_changed_waits_while_another_tile_is_looked_at(page: Tab, reviews: Desk) -> None:
    page.press("]", "x", "n")
    at_tile(page, 2)
    page.press("p")
    at_tile(page, 1)
    assert text(page, "#state") == "Changed, not saved yet"
    page.press("a")
    at_tile(page, 2)
    assert stored(reviews, 0) == [[*BOXES[1], 0]]


def test_a_tile_that_somebody_else_has_decided_is_shown_as_it_is_now(page: Tab, reviews: Desk) -> None:
    reviews.parts.ledger.decide(reviews.samples[0], a_truth((1, 2, 30, 40, 1)), "ben", LAUNCH)
    page.press("r")
    page.until("!document.querySelector('#word').hidden")
    assert "ben has decided otherwise since" in text(page, "#word")
    assert "Accepted by ben" in text(page, "#state")
    assert stored(reviews, 0) == [[1, 2, 30, 40, 1]]
    assert [line for line in page.complaints if "409" not in line] == []
    page.complaints.clear()
    page.press("r")
    at_tile(page, 2)
    assert stored(reviews, 0) is None


def test_who_shows_a_wrong_token_sees_nothing_and_is_told(browser: Tab, reviews: Desk) -> None:
    browser.open(f"{reviews.url}/reviews")
    browser.until("!document.querySelector('#sign-in').hidden")
    browser.write("a-token-of-nobody-at-all")
    browser.press("Enter")
    browser.until("!document.querySelector('#word').hidden")
    assert "none of those in reviewers" in text(browser, "#word")
    assert browser.run("document.querySelector('#work').hidden") is True
    assert browser.run("sessionStorage.length") == 0
    browser.complaints.clear()  # the browser's own word on the 401


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_is_wider_than_the_screen_and_the_verdict_is_in_reach(page: Tab, width: int) -> None:
    page.screen(width, 740, phone=width < 768)
    assert page.run("document.documentElement.scrollWidth") <= width
    bottom, top = page.run(
        "(() => { const r = document.querySelector('#accept').getBoundingClientRect(); return [r.bottom, r.top] })()"
    )
    assert 0 < top < bottom <= 740
    assert page.run("document.querySelector('#board').getBoundingClientRect().width") > min(width, SIDE) * 0.6


def test_every_control_has_a_name(page: Tab) -> None:
    nodes = page.ask("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in nodes if node.get("role", {}).get("value") in ("button", "combobox", "application")]
    assert len(controls) > 10
    assert [node for node in controls if not node.get("name", {}).get("value")] == []


def test_the_page_is_light_or_dark_as_its_reader_prefers(page: Tab) -> None:
    grounds = []
    for dark in (False, True):
        page.screen(1280, 860, dark=dark)
        grounds.append(page.run("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(251, 250, 247)", "rgb(12, 19, 26)"]
