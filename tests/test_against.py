"""What two checkouts cost: input that can't be measured is refused before anything runs."""

import pytest

from benchmarks import against


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which commit to measure against? python -m benchmarks.against REV"),
        (["no-such-revision"], "no-such-revision"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert against.main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
