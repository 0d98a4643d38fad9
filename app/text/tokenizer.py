"""Text to token ids and back, on both hosts, from one tokenizer.json.

Natively the `tokenizers` wheel does the work, in the browser `static/text/tokenizer.js` through
`globalThis.loraLab.createTokenizer`; a parity test keeps the two equal. No special tokens are
added around a text; special tokens written in it ("<|im_end|>") are recognised, as
HuggingFace tokenizers do.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Protocol

from app.errors import FormatError, json_problem
from app.messages import say
from app.text.tokenizer_json import tokenizer_json_from_gguf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "StreamDecoder",
    "Tokenizer",
    "load_tokenizer",
    "tokenizer_from_gguf",
    "tokenizer_json_from_gguf",
]

REPLACEMENT = "\ufffd"


class Tokenizer(Protocol):
    """A vocabulary and its rules."""

    vocab_size: int
    bos_token_id: int | None
    eos_token_id: int | None
    settings: Mapping[str, Any]
    """tokenizer.json without the vocabulary: what decides where a text may be cut."""
    document: str
    """tokenizer.json as text; "" of a tokenizer that is none of these."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`; half a surrogate pair counts as U+FFFD."""
        ...

    def decode(self, token_ids: Sequence[int], skip_special: bool = False) -> str:
        """Return the text; bytes that are not UTF-8 become U+FFFD, unknown ids nothing."""
        ...

    def token_id(self, token: str) -> int | None:
        """Return the id of a token, written as in the vocabulary ("Ġthe"), or None."""
        ...

    def token(self, token_id: int) -> str | None:
        """Return a token as written in the vocabulary, or None."""
        ...


def load_tokenizer(
    tokenizer_json: Mapping[str, Any] | str,
    *,
    bos_token_id: int | None = None,
    eos_token_id: int | None = None,
) -> Tokenizer:
    """Build the host's tokenizer from the contents of a tokenizer.json.

    Raises:
        FormatError: not JSON, or a tokenizer that the host's library refuses.
    """
    try:
        contents = json.loads(tokenizer_json) if isinstance(tokenizer_json, str) else tokenizer_json
        settings = {key: value for key, value in contents.items() if key != "model"}
        settings["model"] = contents["model"].get("type")
    except (ValueError, KeyError, AttributeError) as error:
        raise FormatError(
            say(
                "tokenizer.json is not a tokenizer ({error}): give the file of that name that "
                "came with the model",
                error=json_problem(error)
                if isinstance(error, ValueError)
                else say("the part model is missing"),
            )
        ) from error
    text = tokenizer_json if isinstance(tokenizer_json, str) else json.dumps(tokenizer_json)
    host = _BrowserTokenizer if sys.platform == "emscripten" else _NativeTokenizer
    return host(text, settings, bos_token_id, eos_token_id)


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """Build the tokenizer that a GGUF file brings. Raises FormatError if it is not known here."""
    ids: list[int | None] = []
    for name in ("bos", "eos"):
        value = metadata.get(f"tokenizer.ggml.{name}_token_id")
        ids.append(None if value is None else int(value))
    return load_tokenizer(
        tokenizer_json_from_gguf(metadata), bos_token_id=ids[0], eos_token_id=ids[1]
    )


class StreamDecoder:
    """Text of ids that arrive one by one, holding back the bytes of an unfinished character."""

    def __init__(self, tokenizer: Tokenizer, *, skip_special: bool = False) -> None:
        """Decode with `tokenizer`, leaving special tokens out if `skip_special`."""
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._pending: list[int] = []
        self._shown = 0

    def push(self, token_id: int) -> str:
        """Return the text that this id completes; often one token, sometimes nothing.

        All pushes and the flush joined are exactly `decode` of all ids: an unfinished
        character is one U+FFFD at the end, and the text before it cannot change any more.
        """
        self._pending.append(token_id)
        text = self._tokenizer.decode(self._pending, self._skip_special)
        if not text.endswith(REPLACEMENT):
            new = text[self._shown :]
            self._pending.clear()
            self._shown = 0
            return new
        new = text[self._shown : -1]
        self._shown = len(text) - 1
        return new

    def flush(self) -> str:
        """Return what is held back (an unfinished character is U+FFFD) and start anew."""
        text = self._tokenizer.decode(self._pending, self._skip_special)[self._shown :]
        self._pending.clear()
        self._shown = 0
        return text


def _without_lone_surrogates(text: str) -> str:
    """Replace halves of surrogate pairs, which a JavaScript string may hold, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _refused(error: Exception) -> FormatError:
    reason = str(getattr(error, "message", error))  # JavaScript's, without the name of its class
    return FormatError(
        say(
            "the model's tokenizer cannot be used: {error}. Choose another model or fetch it again",
            error=reason,
        )
    )


class _NativeTokenizer:
    """The `tokenizers` wheel."""

    def __init__(
        self, text: str, settings: Mapping[str, Any], bos: int | None, eos: int | None
    ) -> None:
        import tokenizers

        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the wheel raises bare Exception
            raise _refused(error) from error
        self.settings, self.bos_token_id, self.eos_token_id = settings, bos, eos
        self.document = text
        self.vocab_size = self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        clean = _without_lone_surrogates(text)
        return list(self._tokenizer.encode(clean, add_special_tokens=False).ids)

    def decode(self, token_ids: Sequence[int], skip_special: bool = False) -> str:
        ids = [int(token_id) for token_id in token_ids]
        return str(self._tokenizer.decode(ids, skip_special_tokens=skip_special))

    def token_id(self, token: str) -> int | None:
        return self._tokenizer.token_to_id(token)

    def token(self, token_id: int) -> str | None:
        return self._tokenizer.id_to_token(token_id)


class _BrowserTokenizer:
    """`static/text/tokenizer.js`; ids cross over as typed arrays."""

    def __init__(
        self, text: str, settings: Mapping[str, Any], bos: int | None, eos: int | None
    ) -> None:
        import js
        from pyodide.ffi import JsException

        try:
            self._tokenizer = js.loraLab.createTokenizer(text)
        except JsException as error:
            raise _refused(error) from error
        self.settings, self.bos_token_id, self.eos_token_id = settings, bos, eos
        self.document = text
        self.vocab_size = int(self._tokenizer.vocabSize)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(_without_lone_surrogates(text)).to_py().tolist()
        return ids

    def decode(self, token_ids: Sequence[int], skip_special: bool = False) -> str:
        from pyodide.ffi import to_js

        ids = to_js([int(token_id) for token_id in token_ids])
        return str(self._tokenizer.decode(ids, skip_special))

    def token_id(self, token: str) -> int | None:
        found = int(self._tokenizer.tokenId(token))
        return None if found < 0 else found

    def token(self, token_id: int) -> str | None:
        found = self._tokenizer.token(token_id)
        return found if isinstance(found, str) else None
