"""This machine and its network: threads, memory, proxies, downloads, extras that are there.

Imports nothing of app but its errors. Begin in network.py.
"""
