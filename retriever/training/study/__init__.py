"""What a study of recipes needs of a retriever: new checkpoints of given towers, the loss on
validation questions, and what one recipe knows more than another.

Imports `training` beside it. Begin with `towers.py`.
"""
