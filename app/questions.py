"""What a user may ask, on the page and on the command line. Benchmarks ask what they ask."""

from app.errors import InvalidQuestion


def checked_question(question: str, most_characters: int) -> str:
    """Return a question that a user typed, without white space around it.

    Raises:
        InvalidQuestion: it is empty or too long.
    """
    question = question.strip()
    if not question:
        raise InvalidQuestion("The question is empty. Ask something about the picture.")
    if len(question) > most_characters:
        raise InvalidQuestion(
            f"The question has {len(question):,} characters; at most {most_characters:,} are read. "
            "Ask a shorter one."
        )
    return question
