#!/bin/sh
# Put the passages that PASSAGES names into the index, whose server is waited for, then serve the page.
set -eu
# For supervisor whatever ran for a second has started, and is started again at once. So a start within
# a minute of the last one, such as where the port is taken, waits a second longer than that one did.
starts=runs/up/starts
test -n "$(find "$starts" -mmin -1 2>/dev/null)" || : >"$starts"
before=$(wc -l <"$starts")
sleep $((before < 60 ? before : 60))
echo >>"$starts"
if [ -n "${PASSAGES:-}" ]; then
    python -m kbvqa index build "$PASSAGES"
fi
exec python -m kbvqa web --build
