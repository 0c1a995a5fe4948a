"""Find passages for a picture and a question in an index.

python examples/search.py my-index photo.jpg "What does this animal eat?"
"""

import sys

from PIL import Image

from kbvqa import Encoder, PassageFilter, PassageIndex, Query


def main(location: str, picture: str, question: str, prefix: str = "") -> None:
    """Print the five best passages; of titles that begin with `prefix` only."""
    encoder = Encoder.from_pretrained("kbvqa-mini")
    query = encoder.encode_query(Query(question, Image.open(picture)))
    chosen = PassageFilter(title_prefix=prefix) if prefix else None
    with PassageIndex.open(location) as index:
        for hit in index.search(query, top_k=5, filter=chosen):
            print(f"{hit.score:6.2f}  {hit.passage.title}: {hit.passage.text[:70]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
