"""Whether a system says when it does not know: sets made of any benchmark, and their figures.

Imports the run, its record and `reporting`. Begin with `sets`, then `measure`.
"""
