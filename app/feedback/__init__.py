"""What users say of answers: kept in a database of one table, and made into evaluation examples.

Imports errors and corpus. Begin with `store.py`.
"""
