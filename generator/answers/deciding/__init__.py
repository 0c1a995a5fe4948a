"""Yes or no: what a passage says to a question for one, by rules.

Begin with rules.py. asking.py tells such a question by its form; fields.py reads the labelled value
that the reader pointed at; numbers.py, lists.py, comparing.py, defining.py and denying.py are the
rules. It may import generator.values and generator.sentences.
"""
