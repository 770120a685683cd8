"""The frame of every page that a peer shows: plain HTML, one inline style, no script, nothing from elsewhere."""

import base64
import hashlib
from html import escape

from starlette.responses import HTMLResponse

STYLE = """
:root { color-scheme: light dark; --ink: #1b2330; --soft: #5c6675; --line: #d5dae2; --paper: #fff; --ground: #f2f4f8;
  --act: #2347c5; --bad: #b3261e; --good: #1a7441; --test: #ffce3a }
@media (prefers-color-scheme: dark) { :root { --ink: #eef1f6; --soft: #a5aebd; --line: #3b4454; --paper: #1d232e;
  --ground: #12161d; --act: #7d9bff; --bad: #ff8d84; --good: #6fd79b } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
.test { background: var(--test); color: #2b2100; text-align: center; font-weight: 600; padding: .35rem 1rem }
main { max-width: 30rem; margin: 2rem auto; padding: 1.75rem; background: var(--paper); border: 1px solid var(--line);
  border-radius: 14px }
main.wide { max-width: 46rem }
h1 { font-size: 1.25rem; margin: 0 0 .25rem } h2 { font-size: 1.05rem; margin: 1.5rem 0 .5rem }
p { margin: .4rem 0 } .soft, small { color: var(--soft) }
.amount { font-size: 2.1rem; font-weight: 700; margin: .25rem 0 }
nav { display: flex; gap: .5rem; margin: 1.25rem 0; border-bottom: 1px solid var(--line) }
nav a { padding: .5rem .9rem; text-decoration: none; color: var(--soft); border-bottom: 3px solid transparent }
nav a[aria-current] { color: var(--ink); border-color: var(--act); font-weight: 600 }
label { display: block; margin: .8rem 0 .2rem; font-weight: 600 }
input[type=text] { width: 100%; font: inherit; padding: .6rem .7rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--paper); color: var(--ink) }
input[aria-invalid] { border-color: var(--bad) } .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem }
.wrong { color: var(--bad); margin: .25rem 0 0 } .good { color: var(--good) }
button, .button { display: block; width: 100%; margin-top: 1rem; padding: .75rem; font: inherit; font-weight: 600;
  text-align: center; text-decoration: none; color: #fff; background: var(--act); border: 1px solid var(--act);
  border-radius: 8px; cursor: pointer }
@media (prefers-color-scheme: dark) { button, .button { color: #10141c } }
button.plain { color: var(--ink); background: none; border-color: var(--line) }
button.link { width: auto; margin: 1.25rem auto 0; padding: .25rem; color: var(--soft); background: none; border: 0;
  font-weight: 400; text-decoration: underline }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px }
.code { display: block; width: 12rem; max-width: 100%; margin: 0 auto; background: #fff; padding: .75rem;
  border-radius: 8px }
table { width: 100%; border-collapse: collapse; font-size: .9rem } td, th { padding: .3rem 0; text-align: left;
  border-bottom: 1px solid var(--line) } td:first-child { font-family: ui-monospace, monospace; white-space: nowrap;
  padding-right: 1rem }
details { margin-top: 1.5rem } summary { cursor: pointer; color: var(--soft) }
article { white-space: pre-line }
"""
STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_DIGEST}'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page(title: str, content: str, *, status: int = 200, is_wide: bool = False, head: str = "") -> HTMLResponse:
    """A whole page; `title` is text, `content` and `head` are HTML that the caller has escaped."""
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
{head}<style>{STYLE}</style>
</head>
<body>
<div class="test" role="note">TEST mode: a sandbox. No real money moves.</div>
<main{' class="wide"' if is_wide else ""}>
{content}
</main>
</body>
</html>
""",
        status,
        HEADERS,
    )
