"""kbvqa ask --why: what matched what, in words and as a picture."""

from pathlib import Path

from rich.markup import escape

from app.asking.heat import heat_picture, with_scale
from app.asking.why import PassageWhy, Why
from app.commands.console import err, out
from app.flow.events import Result
from app.machine.directories import writing
from corpus.types import Query

_WORDS = 8  # of a passage, those with the greatest shares


def print_why(why: Why) -> None:
    """Print for each passage where its score comes from and which words matched."""
    for number, passage in enumerate(why.passages, start=1):
        out.print(f"[bold]Why passage {number}[/]", highlight=False)
        for line in lines(passage):
            out.print(f"    {escape(line)}", highlight=False)


def lines(why: PassageWhy) -> list[str]:
    """Return why a passage was found, in words."""
    parts = ", ".join(f"{name} {value:.1f}" for name, value in why.parts.items())
    told = [f"{why.score:.1f} from matches: {parts}"]
    if why.by_itself is not None and round(why.by_itself, 1):
        told.append(f"{why.by_itself:+.1f} from what the picture by itself is about")
    words = ", ".join(f"{word} {share:.0%}" for word, share in _shares(why)[:_WORDS])
    told.append(f"words with the greatest shares of it: {words or 'none'}")
    matched = ", ".join(
        f"{match.text} → {why.word(match.number)} {match.similarity:.2f}"
        for match in why.matches
        if match.number is not None
    )
    told.append(f"the question's words: {matched or 'matched none'}")
    return told


def _shares(why: PassageWhy) -> list[tuple[str, float]]:
    """Return the words of a passage with their shares, equal words as one, the greatest first."""
    spelled: dict[str, str] = {}
    shares: dict[str, float] = {}
    for word in why.words:
        text = why.word(word.number)
        spelled.setdefault(text.casefold(), text)
        shares[text.casefold()] = shares.get(text.casefold(), 0.0) + word.share
    return sorted(((spelled[word], share) for word, share in shares.items()), key=lambda s: -s[1])


def write_heat(path: Path, query: Query, result: Result, why: Why) -> None:
    """Write where in the picture the first cited or the best passage was found, or say why not."""
    if not why.passages or query.image is None or why.frame is None:
        err.print(
            f"{path} is not written. {why.no_map or 'No passage was found.'}", highlight=False
        )
        return
    cited = result.answer.citations[0].number if result.answer and result.answer.citations else 1
    shown = why.passages[cited - 1]
    low, high = float(shown.heat.min()), float(shown.heat.max())
    drawn = heat_picture(query.image, shown.heat, why.frame, why.grid)
    with writing(path):
        with_scale(drawn, low, high).save(path, format="PNG")
    err.print(
        f"{path}: where passage {cited} was found, from {low:.2f} (dark) to {high:.2f} (bright)",
        highlight=False,
    )
