"""Build an index of passages of your own; stopped, the same call goes on.

python examples/index.py passages.jsonl my-index          lines of {"id", "title", "text"}
python examples/index.py passages.jsonl http://127.0.0.1:6333/mine
"""

import json
import sys
from pathlib import Path

from kbvqa import Encoder, Passage, PassageIndex


def main(path: str, location: str) -> None:
    """Print what the index holds."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    passages = [Passage(row["id"], row.get("title", ""), row["text"]) for row in rows]
    encoder = Encoder.from_pretrained("kbvqa-mini")
    with PassageIndex.build(location, passages, encoder, name=Path(path).stem) as index:
        made = index.fingerprint
        print(f"{index.count} passages of {made.corpus} in {location}, by {made.checkpoint}")


if __name__ == "__main__":
    main(*sys.argv[1:])
