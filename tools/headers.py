"""The headers of every answer, by this server or by the service worker."""

from __future__ import annotations


def _policy(connect: str) -> str:
    """Return the Content-Security-Policy that allows connections to some addresses."""
    return (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
        "worker-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        f"connect-src {connect}; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


HEADERS = {
    # Cross-origin isolation: precise timers and shared memory for the worker.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # What holds a person's text can connect to nothing but this site; blob: and data: lie in
    # the browser. 'wasm-unsafe-eval' starts Pyodide.
    "Content-Security-Policy": _policy("'self' blob: data:"),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # keep, but ask each time: the ETag answers
}

OWN_HEADERS = {
    # A person may type the address of a model, on the net or at home. This worker fetches it, is
    # told addresses only, and shares nothing with the page but messages. Isolated without
    # require-corp, it can tell a host that forbids reading from one that does not answer.
    "download-worker.js": {
        "Content-Security-Policy": _policy("'self' https: http:"),
        "Cross-Origin-Embedder-Policy": "credentialless",
    },
}
"""Paths whose headers differ."""


def headers_of(path: str) -> dict[str, str]:
    """Return the headers of a path below the page's folder."""
    return HEADERS | OWN_HEADERS.get(path, {})
