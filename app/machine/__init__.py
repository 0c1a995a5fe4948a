"""This machine and its network: threads, proxies, downloads, extras that are installed or not.

Imports nothing of app but its errors. Begin in network.py.
"""
