"""The benchmarks of this field: loader and official score of each in one file.

Imports `files` and `pictures`. Begin with `okvqa.py`; `datasets.py` names the files of each.
"""
