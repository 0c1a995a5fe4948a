"""Embed a question about a picture and some passages, and score them by late interaction.

python examples/encode.py data/demo/examples/kenya.png "What is the capital of this country?"
"""

import sys

from PIL import Image

from kbvqa import Encoder, Passage, Query, maxsim


def main(picture: str, question: str) -> None:
    """Print the scores of three passages, best first."""
    encoder = Encoder.from_pretrained("kbvqa-mini")
    passages = [
        Passage("ke", "Kenya", "Kenya - Government. Capital: Nairobi. Independence: 1963."),
        Passage("jp", "Japan", "Japan - Government. Capital: Tokyo. Constitution: 1947."),
        Passage("tea", "Tea", "Tea is a drink made of the leaves of Camellia sinensis."),
    ]
    [query] = encoder.encode_queries([Query(question, Image.open(picture))])
    embeddings = encoder.encode_passages(passages)
    print(f"query: {query.rows_QD.shape} rows x dim; seen: {query.seen or 'nothing by name'}")
    scores = maxsim([query], embeddings)[0].tolist()
    for score, passage, rows in sorted(
        zip(scores, passages, embeddings, strict=True), key=lambda row: -row[0]
    ):
        print(f"{score:6.2f}  {passage.title:6}  {len(rows)} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
