"""The API behind the review page, by HTTP: who is let in, what is told, and what is stored."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.reviewing import BOXES, SIDE, TOKENS, Desk, a_proposal_of_airplanes, desk, enter, named

from orbitloop.domain.digests import digest_of
from orbitloop.domain.errors import BadInput
from orbitloop.domain.units import Digest
from orbitloop_ground import web
from orbitloop_ground.app import register_model

MODEL = Path(__file__).parents[2] / "examples" / "models" / "airplane-1m"
STRANGER = digest_of(b"a sample that nobody proposed")


@pytest.fixture
def reviews(tmp_path: Path, keys: Path) -> Iterator[Desk]:
    with desk(tmp_path, keys) as made:
        yield made


def decide(reviews: Desk, sample: Digest, objects: object, *, who: str = "ana", after: int = 0) -> httpx.Response:
    with reviews.client(who) as client:
        return client.put(f"/v1/reviews/{sample}/verdict", json={"after": after, "objects": objects})


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", f"Bearer {TOKENS['ana']}x", f"Basic {TOKENS['ana']}", "Bearer ana", "Bearer #", "Bearer \xff"],
    ids=["none", "an empty one", "another", "another scheme", "a name", "the comment's", "no ASCII"],
)
@pytest.mark.parametrize("path", ["", "/{sample}", "/{sample}/picture", "/{sample}/verdict"])
def test_who_shows_no_token_of_a_reviewer_is_not_let_in(reviews: Desk, path: str, header: str) -> None:
    method = "PUT" if path.endswith("verdict") else "GET"
    shown = {b"Authorization": header.encode("latin-1")}
    address = "/v1/reviews" + path.format(sample=reviews.samples[0])
    with httpx.Client(base_url=reviews.url, trust_env=False) as client:
        answer = client.request(method, address, headers=shown, json={"after": 0, "objects": None})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert reviews.parts.ledger.decided() == {}


def test_the_operators_token_opens_no_reviews(tmp_path: Path, keys: Path) -> None:
    token = tmp_path / "token"
    token.write_text("the operators' token")
    with desk(tmp_path, keys, operator_token=token) as made, httpx.Client(base_url=made.url, trust_env=False) as client:
        assert client.get("/v1/reviews", headers={"Authorization": "Bearer the operators' token"}).status_code == 401
        operators = client.get("/v1/operator/nodes", headers={"Authorization": f"Bearer {TOKENS['ana']}"})
        assert operators.status_code == 401


def test_without_reviewers_there_is_nothing_and_the_log_says_why(
    tmp_path: Path, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with desk(tmp_path, keys, reviewers=None) as closed, caplog.at_level(logging.WARNING), closed.client() as client:
        assert [client.get(path).status_code for path in ("/reviews", "/reviews/reviews.js", "/v1/reviews")] == [
            404
        ] * 3
        assert client.get("/healthz").status_code == 200
    assert {record.message for record in caplog.records} == {"reviewer_not_let_in"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read"),
        ("\n# nobody\n", "names nobody"),
        ("ana short\n", "line 1"),
        ("ana a-token-of-more-than-16\n\nben\n", "line 3"),
        ("ana a token of more than 16\n", "line 1"),
    ],
    ids=["missing", "nobody", "short", "no token", "spaces in it"],
)
def test_a_list_of_reviewers_that_cannot_be_used_is_refused_at_the_start(
    tmp_path: Path, keys: Path, text: str | None, why: str
) -> None:
    listed = tmp_path / "others"
    if text is not None:
        listed.write_text(text)
    with pytest.raises(BadInput, match=f"reviewers .*{why}"), desk(tmp_path, keys, reviewers=listed):
        pass


def test_a_reviewer_who_was_struck_off_is_out_at_once(reviews: Desk, tmp_path: Path) -> None:
    (tmp_path / "reviewers").write_text(f"ben {TOKENS['ben']}\n")
    with reviews.client("ana") as ana, reviews.client("ben") as ben:
        assert [client.get("/v1/reviews").status_code for client in (ana, ben)] == [401, 200]


def test_what_waits_is_told_with_its_confidence_and_how_much_is_done(reviews: Desk) -> None:
    decide(reviews, reviews.samples[0], None)
    with reviews.client() as client:
        told = client.get("/v1/reviews").json()
        assert client.get("/v1/reviews?limit=1").json()["reviews"] == told["reviews"][:1]
    assert (told["who"], told["pending"], told["decided"]) == ("ana", 2, 1)
    assert [one["sample"] for one in told["reviews"]] == list(reviews.samples[1:])
    first = told["reviews"][0]
    assert first["window"] == {"x0": SIDE, "y0": 0, "width": SIDE, "height": SIDE}
    assert (first["frame"], first["classes"]) == ("frames/000001.png", ["airplane", "helicopter"])
    assert (first["revision"], first["verdict"]) == (0, None)
    sure, doubtful = first["boxes"]
    assert (sure["box"], sure["label"], sure["doubtful"]) == (list(BOXES[0]), 0, False)
    assert (doubtful["confidence"], doubtful["doubtful"]) == (pytest.approx(0.43), True)


@pytest.mark.parametrize("limit", ["0", "501", "x", "-1", "1.5"])
def test_a_limit_that_is_none_is_refused(reviews: Desk, limit: str) -> None:
    with reviews.client() as client:
        answer = client.get("/v1/reviews", params={"limit": limit})
    assert (answer.status_code, answer.json()["error"]) == (422, "BadInput")


def test_a_tile_is_shown_as_it_came_down_in_a_form_that_every_browser_reads(reviews: Desk) -> None:
    with reviews.client() as client:
        answer = client.get(f"/v1/reviews/{reviews.samples[0]}/picture")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.size) == ("PNG", (SIDE, SIDE))


def test_pixels_that_are_no_picture_or_do_not_fill_their_window_are_refused(reviews: Desk) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (10, 10)).save(stream, "webp")
    bad = [named(70, b"no picture"), named(71, stream.getvalue())]
    enter(reviews.parts, bad)
    for sample, _ in bad:
        reviews.parts.ledger.propose(sample.id, sample.frame, sample.window, a_proposal_of_airplanes())
    reviews.parts.ledger.propose(STRANGER, "gone.png", bad[0][0].window, a_proposal_of_airplanes())
    with reviews.client() as client:
        answers = [client.get(f"/v1/reviews/{name}/picture") for name in (bad[0][0].id, bad[1][0].id, STRANGER)]
    assert [answer.status_code for answer in answers] == [422] * 3
    why = ("cannot be read as a picture", "do not fill its window", "never came down")
    assert all(words in answer.json()["detail"] for words, answer in zip(why, answers, strict=True))


def test_a_verdict_is_stored_with_who_and_when(reviews: Desk) -> None:
    box = [61.5, 60, 129, 121]
    answer = decide(reviews, reviews.samples[0], [{"box": box, "label": 1}], who="ben")
    assert answer.status_code == 200, answer.text
    assert answer.json()["verdict"] == {
        "who": "ben",
        "at": reviews.parts.clock.now().isoformat(),
        "objects": [{"box": box, "label": 1}],
    }
    stored = reviews.parts.ledger.review(reviews.samples[0])
    assert stored is not None
    assert stored.verdict is not None
    assert stored.verdict.truth is not None
    assert (stored.verdict.who, stored.revision) == ("ben", 1)
    assert (stored.verdict.truth.boxes.tolist(), stored.verdict.truth.labels.tolist()) == ([box], [1])


def test_a_verdict_that_is_sent_again_changes_nothing_and_a_late_one_is_told(reviews: Desk) -> None:
    name = reviews.samples[0]
    assert [decide(reviews, name, None).status_code for _ in range(2)] == [200, 200]
    late = decide(reviews, name, [], who="ben")
    assert late.status_code == 409
    assert "ana has decided otherwise since" in late.json()["detail"]
    corrected = decide(reviews, name, [], who="ben", after=1)
    assert (corrected.status_code, corrected.json()["revision"]) == (200, 2)


def test_what_a_hand_drew_over_the_edge_is_cut_there(reviews: Desk) -> None:
    told = decide(reviews, reviews.samples[0], [{"box": [-0.5, 10, 50, SIDE + 0.9], "label": 0}]).json()
    assert told["verdict"]["objects"] == [{"box": [0, 10, 50, SIDE], "label": 0}]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "ReviewVerdict"),
        (b"{", "ReviewVerdict"),
        (b'{"after": 0}', "objects"),
        (b'{"objects": null}', "after"),
        (b'{"after": -1, "objects": null}', "after"),
        (b'{"after": 0, "objects": [{"box": [1, 2, 3], "label": 0}]}', "box"),
        (b'{"after": 0, "objects": [{"box": [1, 2, 3, NaN], "label": 0}]}', "finite|box"),
        (b'{"after": 0, "objects": [{"box": [5, 2, 3, 9], "label": 0}]}', "x0 < x1"),
        (b'{"after": 0, "objects": [{"box": [1, 2, 500, 9], "label": 0}]}', "leaves its tile of 416x416"),
        (b'{"after": 0, "objects": [{"box": [1, 2, 3, 9], "label": 2}]}', "class 2 is unknown; there are 2"),
        (b'{"after": 0, "objects": [{"box": [1, 2, 3, 9], "label": -1}]}', "label"),
        (b'{"after": 0, "objects": null, "who": "ben"}', "who"),
    ],
)
def test_what_is_no_verdict_is_refused_and_nothing_is_stored(reviews: Desk, body: bytes, why: str) -> None:
    with reviews.client() as client:
        answer = client.put(f"/v1/reviews/{reviews.samples[0]}/verdict", content=body)
    assert answer.status_code == 422
    assert any(word in answer.json()["detail"] for word in why.split("|")), answer.text
    assert reviews.parts.ledger.decided() == {}


@pytest.mark.parametrize(("name", "status"), [(STRANGER, 404), ("sha256:short", 422), ("..", 404)])
def test_a_tile_that_is_not_there_is_told(reviews: Desk, name: str, status: int) -> None:
    with reviews.client() as client:
        assert client.get(f"/v1/reviews/{name}").status_code == status
        assert client.get(f"/v1/reviews/{name}/picture").status_code == status
        assert client.put(f"/v1/reviews/{name}/verdict", json={"after": 0, "objects": None}).status_code == status


def test_the_page_shows_nothing_of_its_own_and_may_load_nothing_from_elsewhere(reviews: Desk) -> None:
    with httpx.Client(base_url=reviews.url, trust_env=False) as stranger:
        answers = [stranger.get(path) for path in ("/reviews", *(f"/reviews/{name}" for name in web.BESIDE_REVIEWS))]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "http://" not in answer.text.replace("http://www.w3.org/", "")
        assert "https://" not in answer.text


def test_nothing_but_the_page_is_served_from_its_folder(reviews: Desk) -> None:
    with httpx.Client(base_url=reviews.url, trust_env=False) as client:
        assert client.get("/reviews/__init__.py").status_code == 404
        assert client.get("/reviews/%2e%2e/settings.py").status_code == 404


def test_satellites_do_not_reach_the_reviews(reviews: Desk) -> None:
    from orbitloop_ground.app import create_app

    paths = {getattr(route, "path", "") for route in create_app(reviews.parts).routes}
    assert not [path for path in paths if "review" in path]


@pytest.mark.parametrize(
    ("changes", "names"),
    [({}, ["class 0"]), ({"classes": ("plane",)}, ["plane"])],
    ids=["of nobody", "of the setting"],
)
def test_classes_have_the_names_that_the_ground_knows(
    tmp_path: Path, keys: Path, changes: dict[str, Any], names: list[str]
) -> None:
    with desk(tmp_path, keys, **({"classes": ()} | changes)) as made, made.client() as client:
        assert client.get("/v1/reviews").json()["reviews"][0]["classes"] == names


def test_classes_have_the_names_that_a_registered_model_knows(tmp_path: Path, keys: Path) -> None:
    with desk(tmp_path, keys, classes=()) as made, made.client() as client:
        register_model(made.settings, MODEL)
        assert client.get("/v1/reviews").json()["reviews"][0]["classes"] == ["airplane"]
