"""The numbers that embeddings are computed in, by name: an encoder chooses, an index remembers."""

from typing import Literal

Precision = Literal["float32", "float16", "bfloat16"]
PassagePrecision = Literal["float32", "bfloat16", "fastest"]  # what an encoder may be asked for
