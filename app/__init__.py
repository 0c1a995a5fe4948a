"""The composition root: settings, the pipeline, and what people use: commands, page, evaluation.

Imports retriever, generator and corpus. Begin with `pipeline.py`, then `components.py`.
"""

from app.machine.threads import sleep_between_products

sleep_between_products()
