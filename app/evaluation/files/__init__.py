"""What a run keeps on disk: rows that outlive a kill, an earlier run's, and TREC's files.

Imports `record` alone. Begin with `resumable`.
"""
