"""Whether an index, and pictures of entities, were made for a checkpoint."""

from retriever.checkpoint.files import to_give
from retriever.checkpoint.loading import Checkpoint
from retriever.errors import IndexNotReady
from retriever.index.passage_index import PassageIndex
from retriever.pictures.collection import PictureCollection

# Passages that are looked at for one with pictures, at every start; those of a server in pages.
_LOOKED_AT = 20_000


def require_checkpoint(index: PassageIndex, checkpoint: Checkpoint) -> None:
    """Raise IndexNotReady unless a checkpoint's queries may search an index."""
    made_with = index.fingerprint
    if made_with.checkpoint_sha256 != checkpoint.revision:
        raise IndexNotReady(
            f"the index at {index.location} was made with the checkpoint "
            f"{made_with.checkpoint}@{made_with.checkpoint_sha256}, not {checkpoint.id}. Search it "
            f"with the first (--checkpoint), or build it anew from its corpus, "
            f"{made_with.corpus!r}: `kbvqa index build CORPUS --checkpoint "
            f"{to_give(checkpoint.name)} --index {index.location} --swap`"
        )


def require_pictures(pictures: PictureCollection, checkpoint: Checkpoint) -> None:
    """Raise IndexNotReady unless a checkpoint makes vectors as a collection of pictures has."""
    if pictures.checkpoint != checkpoint.revision:
        raise IndexNotReady(
            f"the collection of pictures was made with the checkpoint {pictures.checkpoint}, "
            f"not {checkpoint.id}: make it anew with `kbvqa index pictures --checkpoint "
            f"{to_give(checkpoint.name)}`"
        )
    width, wanted = pictures.width, checkpoint.picture_width
    if width != wanted:
        raise IndexNotReady(
            f"the collection of pictures has vectors of {width:,} numbers, and the checkpoint "
            f"{checkpoint.id} makes vectors of {wanted:,}: make it anew with "
            f"`kbvqa index pictures --checkpoint {to_give(checkpoint.name)}`"
        )


def strangers(pictures: PictureCollection, index: PassageIndex) -> str:
    """Return that no passage is about what a collection's pictures show; "" where one is.

    Of a large index some passages are looked at. Such pictures find nothing, and passages without
    pictures lose by every one that is alike.
    """
    if index.about_any({entity for _, entity in pictures.names}, _LOOKED_AT):
        return ""
    some = f"the {index.count:,}" if index.count <= _LOOKED_AT else f"{_LOOKED_AT:,}"
    return (
        f"no passage is about an entity of the collection of pictures, of {some} that were looked "
        f"at: its entities ({pictures.names[0][1]!r:.60}) must be those that passages have in "
        'their field "entity"'
    )
