"""Takes code out of the Markdown fence that a chat model puts around it. The only place to do so.

Pure. Knows no languages: whatever stands after the opening fence is dropped with its line.
"""

from __future__ import annotations

import re

_OPENING = re.compile(r"^ {0,3}(`{3,}|~{3,})[^`\n]*$", re.MULTILINE)


def unfenced(answer: str, *, begun: bool = False) -> str:
    """The inside of the first fenced block, or the answer as it is where there is none.

    A block that the end of the answer cuts off goes as far as the answer does.

    Args:
        answer: One generation.
        begun: Whether the prompt holds the start of what is fenced. A fence behind more of it then
            ends what the prompt began.
    """
    opening = _OPENING.search(answer)
    if opening is None:
        return answer
    if begun and answer[: opening.start()].strip():
        return answer[: opening.start()]
    inside = answer[opening.end() :].removeprefix("\n")
    fence = opening[1]
    closing = re.search(
        rf"^ {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$", inside, re.MULTILINE
    )
    return inside[: closing.start()] if closing else inside
