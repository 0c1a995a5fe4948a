"""The name of a passage as it stands inside a sentence. Pure functions.

    within_a_sentence("Polar bear", "Polar bear. The polar bear is a large bear.")  # the polar bear

Titles begin with a capital and have no article. What a name needs is read off the passage's own
text, and of countries off their last word; where neither tells, the title stays.
"""

import re

# Of names such as "United States" and "Cook Islands", which have "the" before them.
_WITH_THE = re.compile(
    r"(?!.*Island and ).*\b(?:States|Kingdom|Emirates|Republic|Islands|Lands|Territory|"
    r"Netherlands|Philippines|Maldives|Bahamas|Gambia)|(?:Isle|Republic) of .+"
)
_INSIDE = r"(?<=[a-z,] ){}(?:e?s)?\b(?![-'’]| [A-Z])"  # of a sentence, and not of a longer name
_ARTICLE = re.compile(r"(?:the|an?) ", re.IGNORECASE)


def within_a_sentence(title: str, text: str) -> str:
    """Return a title as it stands inside a sentence: "the polar bear", "rice", "the United States".

    Args:
        title: of the passage.
        text: of the passage, which may begin with its title, as those of the demo do.

    >>> within_a_sentence("Rice", "Rice. Rice is a cereal grain. In some places rice is eaten.")
    'rice'
    >>> within_a_sentence("Eiffel Tower", "The Eiffel Tower is a tower in Paris.")
    'the Eiffel Tower'
    >>> within_a_sentence("Kenya", "Kenya - Capital. Nairobi is the capital of Kenya.")
    'Kenya'
    """
    if _ARTICLE.match(title):
        return title
    if _WITH_THE.fullmatch(title):
        return f"the {title}"
    name = title[:1].lower() + title[1:]
    body = text.removeprefix(f"{title}. ")
    first = re.match(r"(The|An?) (\S)", body)
    rest = body[first.start(2) :] if first else ""
    if first and _begins_with(rest, name) and name != title:
        return f"the {name}"
    if first and first[1] == "The" and _begins_with(rest, title):
        return f"the {title}"
    many = _begins_with(body, f"{title}s") or _begins_with(body, f"{title}es")
    if name == title or not (many or _begins_with(body, title)):
        return title
    common, proper = (re.search(_INSIDE.format(re.escape(word)), body) for word in (name, title))
    if proper or not common:
        return title
    return f"the {name}" if many else name


def _begins_with(text: str, name: str) -> bool:
    """Return whether a text begins with a name, and not with a longer one."""
    return re.match(rf"{re.escape(name)}\b(?![-'’]| - | [A-Z])", text) is not None
