"""Answer a question about a picture from an index, with the words that prove it.

python examples/answer.py my-index photo.jpg "What is the capital?"
python examples/answer.py my-index photo.jpg "What is the capital?" http://127.0.0.1:8000/v1 MODEL
"""

import sys

from PIL import Image

from kbvqa import Encoder, Generator, PassageIndex, Pipeline, Query, Reader


def main(location: str, picture: str, question: str, url: str = "", model: str = "") -> None:
    """Print the answer, how far to trust it, and the passages it is from."""
    encoder = Encoder.from_pretrained("kbvqa-mini")
    reader = Generator(url, model) if url else Reader.from_pretrained()
    with PassageIndex.open(location) as index:
        query = Query(question, Image.open(picture))
        result = Pipeline(encoder, index, reader).ask(query)
    answer = result.answer
    if answer is None:
        sys.exit(f"No answer: {result.failure}")
    print(f"{answer.text}  ({answer.confidence.verdict}, {answer.confidence.value})")
    for citation in answer.citations:
        text = result.retrieval.hits[citation.number - 1].passage.text
        for start, end in citation.spans:
            print(
                f"  [{citation.number}] ...{text[max(0, start - 30) : start]}**{text[start:end]}**"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
