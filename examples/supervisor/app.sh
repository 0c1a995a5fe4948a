#!/bin/sh
# Put the passages that PASSAGES names into the index, whose server is waited for, then serve the page.
set -eu
if [ -n "${PASSAGES:-}" ]; then
    python -m kbvqa index build "$PASSAGES"
fi
exec python -m kbvqa web --build
