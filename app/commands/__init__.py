"""The command line, one file for each group of commands.

Imports everything else of app but the page. Begin with `index.py`; `app/cli.py` joins them.
"""
