"""Where a model's thoughts end and its answer begins, when it thinks in the text. Pure.

Most servers put thoughts apart; others leave them in the text, between marks, the first of which
the prompt may already have written.
"""

import re
from typing import NamedTuple

_OPENING = (
    *(f"<{name}{end}" for name in (
        "think", "thinking", "thought", "reasoning", "reflection", "seed:think",
    ) for end in "> "),
    '<details type="reasoning"', "[think]", "◁think▷", "<|channel|>analysis", "<|channel>thought",
)  # fmt: skip
# Marks before an answer end what comes before them, too.
_CLOSING = re.compile(
    r"</(?:think|thinking|thought|reasoning|reflection|seed:think)>|\[/think\]|◁/think▷"
    r"|<\|channel\|>final<\|message\|>|<channel\|>|<details type=\"reasoning\".*?</details>"
    r"|<(?:final_?)?answer>|<\|begin_of_box\|>",
    re.IGNORECASE | re.DOTALL,
)


class Beginning(NamedTuple):
    """How far a text has come.

    Attributes:
        at: where the answer begins: after the last thought that is complete.
        thinking: what follows is a thought.
        undecided: what follows may yet turn out to be one.
    """

    at: int
    thinking: bool
    undecided: bool


def begun(text: str) -> Beginning:
    """Return where the answer in a growing text begins.

    >>> begun("<think>A flag.</think>Nairobi").at
    22
    >>> begun("<think>A flag").thinking, begun("<th").undecided, begun("Nairobi").undecided
    (True, True, False)
    """
    at = max((match.end() for match in _CLOSING.finditer(text)), default=0)
    head = text[at:].lstrip()[: max(map(len, _OPENING))].casefold()
    return Beginning(
        at,
        thinking=head.startswith(_OPENING),
        undecided=head != "" and any(mark.startswith(head) for mark in _OPENING),
    )
