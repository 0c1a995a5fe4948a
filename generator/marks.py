"""What models write around an answer that is none of its words: tags, headings, fences. Pure."""

import re

# A line that only says that the answer follows, or how it is set.
_NO_ANSWER = re.compile(
    r"\s*(?:(?:```|~~~)[a-z]*|(?:#{1,6}\s*|[*_]{2})(?:final\s+|short\s+)?answer\W*"
    r"|(?:final\s+|short\s+)?answer\s*:)\s*",
    re.IGNORECASE,
)
_LEADING = re.compile(r"(?:\s*(?:<\|[a-z_]+\|>|<s>|<bos>))+", re.IGNORECASE)
_ENDING = re.compile(
    r"</(?:final_?)?answer>|<\|[a-z_]+\|>|<(?:end_of_turn|eos)>|</s>", re.IGNORECASE
)
# What may yet become a line that is no answer, or a mark at its beginning or end.
_UNDECIDED_LINE = re.compile(
    r"\s*(?:[`~#*_].{0,20}|(?:final?|short?|(?:(?:final|short)\s+)?(?:a|an|ans|answ|answe|answer)"
    r"|final\s+|short\s+|f|fi|fin|s|sh|sho)[\s:]*)",
    re.IGNORECASE,
)
_UNDECIDED_END = re.compile(r"<(?:\|[a-z_]{0,20}\|?|/?[a-z_]{0,12})?$", re.IGNORECASE)

_EMPHASIS = re.compile(r"(?<!\w)(\*\*|__)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_BOXED = re.compile(r"\$*\\boxed\{(?:\\text\{([^{}]*)\}|([^{}]*))\}\$*")
_HEADING = re.compile(r"\A\s*#{1,6}\s+")


def first_line(text: str, *, over: bool) -> tuple[str, bool]:
    """Return the first line that has an answer, without marks, and whether it is complete.

    Args:
        text: as far as it has come.
        over: nothing more comes; otherwise what may become a mark is kept back.

    >>> first_line("# Answer\\n\\nNairobi<|im_end|>", over=False)
    ('Nairobi', True)
    >>> first_line("Nairobi <", over=False), first_line("Nairobi <", over=True)
    (('Nairobi ', False), ('Nairobi <', False))
    """
    *lines, last = text.split("\n")
    for line in lines:
        if line.strip() and not _NO_ANSWER.fullmatch(line) and (bare := _bare(line)[0]).strip():
            return bare, True
    if _NO_ANSWER.fullmatch(last) or (not over and _UNDECIDED_LINE.fullmatch(last)):
        return "", False
    bare, ended = _bare(last)
    if not over:
        bare = _UNDECIDED_END.sub("", bare)
    return bare, ended and bare.strip() != ""


def without_emphasis(line: str) -> str:
    """Return a line without the marks of headings, of bold words and of boxes.

    >>> without_emphasis("## **Nairobi**, Kenya"), without_emphasis("2**3 is C#")
    ('Nairobi, Kenya', '2**3 is C#')
    """
    line = _EMPHASIS.sub(r"\2", _HEADING.sub("", line))
    return _BOXED.sub(lambda box: box[1] or box[2] or "", line)


def _bare(line: str) -> tuple[str, bool]:
    """Return a line up to the mark that ends it, and whether there is one."""
    line = line.removesuffix("\r")
    if leading := _LEADING.match(line):
        line = line[leading.end() :]
    end = _ENDING.search(line)
    return (line[: end.start()], True) if end else (line, False)
