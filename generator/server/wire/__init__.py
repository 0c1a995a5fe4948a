"""What a server sends, from bytes to values: events, bodies, completions, thoughts. No HTTP.

Imports what all generators share. Begin with `protocol`; `bodies` and `event_stream` serve it.
"""
