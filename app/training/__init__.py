"""Training runs: from benchmarks, the demo and one's own files to what the trainers in generator
and retriever take; fine-tuning on one's own data from its checks to the table before and after.

Imports `app/evaluation` for the benchmarks. Begin with `examples.py`, or with `finetune.py`.
"""
