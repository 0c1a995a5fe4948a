#!/bin/sh
# What `make up` runs, in the repository: docs/guide/without-containers.md.
#
#     QDRANT     the program of a Qdrant server; without it the index is a directory
#     GENERATOR  the command that serves KBVQA_GENERATOR_MODEL; without it nothing is started
#     PASSAGES   the corpus that is put into the index first; with QDRANT the demo's, unless given
set -eu
UP_PARTS=app.ini
if [ -n "${GENERATOR:-}" ]; then
    UP_PARTS="generator.ini $UP_PARTS"
    export KBVQA_GENERATOR_URL="${KBVQA_GENERATOR_URL:-http://127.0.0.1:8000/v1}"
fi
if [ -n "${QDRANT:-}" ]; then
    UP_PARTS="index.ini $UP_PARTS"
    export KBVQA_INDEX="${KBVQA_INDEX:-http://127.0.0.1:6333/kbvqa}"
    export PASSAGES="${PASSAGES:-data/demo/passages.jsonl.gz}"
fi
export UP_PARTS
mkdir -p runs/up
rm -f runs/up/starts
exec python -m supervisor.supervisord --configuration examples/supervisor/supervisord.ini
