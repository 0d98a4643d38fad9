"""The entry under Pyodide: JavaScript messages in, a session behind, JavaScript messages out.

`static/worker.js` calls `start` once and then the function that it returns for each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.errors import FormatError
from app.gpu.browser import open_browser_device
from app.io.browser_source import BlobSource
from app.io.folder import ModelFolder, ModelSource
from app.studio.protocol import Message
from app.studio.session import Session

_tasks: set[asyncio.Future[None]] = set()
"""Running requests: the event loop itself holds tasks only weakly."""


class BrowserStore:
    """Keeps tunings in the browser's private file system: static/kept/tuning-store.js."""

    def __init__(self, store: Any) -> None:
        """Wrap the JavaScript object, whose functions never reject."""
        self._store = store

    async def load(self, key: str) -> str | None:
        """Return what was saved, or None."""
        return str(await self._store.load(key)) or None

    async def save(self, key: str, text: str) -> None:
        """Keep a text, if that is possible."""
        await self._store.save(key, text)


class BrowserCheckpoints:
    """A folder of the browser's private file system: static/kept/checkpoint-store.js."""

    def __init__(self, store: Any) -> None:
        """Wrap the JavaScript object, whose functions reject where something fails."""
        self._store = store

    async def names(self) -> list[str]:
        """Return the names of the files."""
        return [str(name) for name in (await self._call("names")).to_py()]

    async def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None where there is no such file."""
        found = await self._call("read", name)
        return None if found is None else bytes(found.to_py())

    async def open(self, name: str) -> BlobSource | None:
        """Return a file to be read in slices, None where there is no such file."""
        found = await self._call("open", name)
        return None if found is None else BlobSource(found, name)

    async def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all."""
        from pyodide.ffi import to_js

        await self._call("write", name, to_js(data))

    async def create(self, name: str) -> BrowserPart:
        """Begin a file that is written in pieces."""
        return BrowserPart(await self._call("create", name))

    async def room_bytes(self) -> int | None:
        """Return how much the browser lets the page write, None where it does not say."""
        found = await self._call("room")
        return None if found is None else int(found)

    async def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        await self._call("remove", name)

    async def _call(self, function: str, *arguments: Any) -> Any:
        return await _called(self._store, function, *arguments)


class BrowserPart:
    """A file of it that is written piece by piece."""

    def __init__(self, part: Any) -> None:
        """Wrap the JavaScript object."""
        self._part = part

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write a piece, which is read where it lies."""
        await _called(self._part, "write", offset, memoryview(data).cast("B"))

    async def keep(self) -> bool:
        """Compare what lies there with what was written, and give it its name."""
        return bool(await _called(self._part, "keep"))

    async def drop(self) -> None:
        """Remove it, unless it was kept."""
        await _called(self._part, "drop")


async def _called(target: Any, function: str, *arguments: Any) -> Any:
    """Call a function of JavaScript's. Raises OSError where it rejects."""
    from pyodide.ffi import JsException

    try:
        return await getattr(target, function)(*arguments)
    except JsException as error:
        raise OSError(str(getattr(error, "message", error))) from error


async def start(
    post: Any, open_model: Any, tunings: Any, checkpoints: Any, models: Any
) -> Callable[[Any], None]:
    """Open the device and return what takes the page's requests.

    Args:
        post: JavaScript function; sends one message to the page.
        open_model: JavaScript function; turns a model's source into a promise of
            `{blob, name}`, or `{files, name}` for a HuggingFace model.
        tunings: JavaScript object that keeps texts by key.
        checkpoints: JavaScript object that keeps files by name.
        models: The same, for a trained model.
    """
    import js
    from pyodide.ffi import JsException, create_proxy, to_js

    def send(message: Message) -> None:
        post(to_js(message, dict_converter=js.Object.fromEntries, create_pyproxies=False))

    async def open_source(source: Any) -> ModelSource:
        try:
            opened = await open_model(source)
        except JsException as error:
            raise FormatError(str(getattr(error, "message", error))) from error
        name = str(opened.name)
        if hasattr(opened, "files"):
            return ModelFolder(name, {str(file.name): BlobSource(file) for file in opened.files})
        return BlobSource(opened.blob, name)

    stores = (BrowserStore(tunings), BrowserCheckpoints(checkpoints), BrowserCheckpoints(models))
    session = Session(send, open_browser_device, open_source, *stores)
    await session.start()

    def take(request: Any) -> None:
        task = asyncio.ensure_future(session.handle(_from_javascript(request)))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    proxy: Callable[[Any], None] = create_proxy(take)
    return proxy


def _from_javascript(request: Any) -> Message:
    """Return a request as Python data, the Blobs in it as byte sources.

    Where a model comes from stays as it is: `open_model` wants it back.
    """
    message: Message = {str(key): value for key, value in request.to_py(depth=1).items()}
    return {
        key: value if key == "source" else _plain(value, message) for key, value in message.items()
    }


def _plain(value: Any, siblings: Message) -> Any:
    from pyodide.ffi import JsProxy, jsnull

    if value is jsnull:
        return None
    if not isinstance(value, JsProxy):
        return value
    if hasattr(value, "arrayBuffer"):
        return BlobSource(value, siblings.get("name"))
    converted = value.to_py(depth=1)
    if isinstance(converted, dict):
        return {str(key): _plain(item, converted) for key, item in converted.items()}
    if isinstance(converted, list):
        return [_plain(item, {}) for item in converted]
    return converted
