"""Both shader compilers: what the op tests show for naga, the self-check shows for Tint."""

from __future__ import annotations

from app.checks.cases import CASES
from tests.browser.studio import Studio


def test_every_operation_equals_its_twin_in_this_browser(tiny: Studio) -> None:
    answer = tiny.ask("self-check")
    assert "error" not in answer, answer.get("error")
    results = (
        answer["result"]["results"] if isinstance(answer["result"], dict) else answer["result"]
    )
    wrong = [result for result in results if not result["ok"]]
    assert not wrong, wrong
    checked = {(result["op"], result["case"]) for result in results}
    assert checked >= {(op, case) for op, check in CASES.items() for case in check.shapes}
    tiny.wait_status("ready")
