"""The headers of every answer, by this server or by the service worker."""

from __future__ import annotations

HEADERS = {
    # Cross-origin isolation: precise timers and shared memory for the worker.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # connect-src is wide because a person may type the address of a model, on the net or at
    # home; nothing else is ever requested from elsewhere. 'wasm-unsafe-eval' starts Pyodide.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
    "worker-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' https: http: blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # keep, but ask each time: the ETag answers
}
