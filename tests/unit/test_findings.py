"""What a doctor says, as people and programs read it."""

import pytest

from orbitloop.domain.findings import Finding, Grade, doubtful, in_words, is_whole, lacking, told, well

FINDINGS = (
    well("keys", "complete"),
    doubtful("disk", "little room", "make some"),
    lacking("model", "none", "install it"),
)


def test_a_warning_leaves_an_installation_whole_and_what_is_missing_does_not() -> None:
    assert is_whole(FINDINGS[:2])
    assert not is_whole(FINDINGS)


def test_programs_read_every_check_and_whether_all_is_there() -> None:
    assert told(FINDINGS[:1]) == {
        "ok": True,
        "checks": [{"about": "keys", "grade": "ok", "says": "complete", "remedy": ""}],
    }
    assert told(FINDINGS)["ok"] is False


def test_people_read_what_to_do_below_what_is_wrong() -> None:
    assert in_words(FINDINGS).splitlines() == [
        "ok       keys   complete",
        "warning  disk   little room",
        "                -> make some",
        "missing  model  none",
        "                -> install it",
        "1 ok, 1 warning, 1 missing",
    ]


@pytest.mark.parametrize(("grade", "remedy"), [(Grade.OK, "do"), (Grade.MISSING, "")])
def test_what_is_wrong_says_what_to_do_and_nothing_else_does(grade: Grade, remedy: str) -> None:
    with pytest.raises(ValueError, match="remedy"):
        Finding(about="keys", grade=grade, says="so", remedy=remedy)
