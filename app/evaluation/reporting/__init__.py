"""What is made of finished runs: a comparison of two, a page of several, figures of others.

Reads only what `record` says a run leaves behind. Begin with `runs`, then `comparison` or `page`.
"""
