"""What other programs show of a link to the page: our words in the place of Gradio's."""

import re

TITLE = "kbvqa"
DESCRIPTION = (
    "Ask about a picture what no pixel can tell. The answer comes with the passages that prove it."
)
_THEIRS = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')
_OURS = f"""<meta name="description" content="{DESCRIPTION}" />
<meta property="og:title" content="{TITLE}" />
<meta property="og:type" content="website" />
<meta property="og:description" content="{DESCRIPTION}" />
<meta name="twitter:card" content="summary" />
</head>""".encode()


def reworded(html: bytes) -> bytes:
    """Return a page with our title and description for previews, and no picture of Gradio's."""
    return _THEIRS.sub(b"", html).replace(b"</head>", _OURS, 1)
