"""An adapter's folder as one .zip: written stored, read with care."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from app.errors import AdapterError
from app.messages import say

WEIGHTS_NAME = "adapter_model.safetensors"
CONFIG_NAME = "adapter_config.json"
MAX_ENTRIES = 1000
MAX_CONFIG_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 1_000_000_000

_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The earliest that the format knows, so that the same files give the same bytes."""


def zip_folder(files: Mapping[str, bytes]) -> bytes:
    """Return a .zip of some files by name, not compressed: weights do not shrink."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, _MOMENT)
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def unzip_adapter(data: bytes) -> tuple[bytes, bytes | None]:
    """Return the weights and the config in a .zip of an adapter's folder.

    Nothing else in it is opened, nothing is written, and no more is unpacked than an adapter
    can have.

    Raises:
        AdapterError: not a sound .zip, or not of exactly one adapter.
    """
    if not data.startswith(b"PK"):
        raise AdapterError(
            say(
                "this is no sound .zip, it does not begin as one ({size} bytes): zip the folder of "
                "a PEFT adapter, or choose its adapter_model.safetensors",
                size=len(data),
            )
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise AdapterError(
                    say(
                        "the .zip holds {num_entries} files, which no adapter's folder does: zip "
                        "the folder with {weights_name} by itself",
                        num_entries=len(entries),
                        weights_name=WEIGHTS_NAME,
                    )
                )
            weights = _only(entries, WEIGHTS_NAME)
            if weights is None:
                raise AdapterError(
                    say(
                        "the .zip holds no {weights_name}: zip the folder of a PEFT adapter",
                        weights_name=WEIGHTS_NAME,
                    )
                )
            config = _only(entries, CONFIG_NAME)
            return (
                _read(archive, weights, MAX_UNPACKED_BYTES),
                None if config is None else _read(archive, config, MAX_CONFIG_BYTES),
            )
    except AdapterError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise AdapterError(
            say(
                "this is no sound .zip, it is cut off or damaged ({size} bytes): zip the adapter's "
                "folder again, or download it again",
                size=len(data),
            )
        ) from error
    except (NotImplementedError, RuntimeError) as error:  # encrypted, or packed in a rare way
        raise AdapterError(
            say(
                "the .zip is encrypted, or packed in a way that cannot be unpacked here: zip the "
                "folder again without a password"
            )
        ) from error


def _only(entries: list[zipfile.ZipInfo], name: str) -> zipfile.ZipInfo | None:
    found = [entry for entry in entries if entry.filename.rsplit("/", 1)[-1] == name]
    if len(found) > 1:
        raise AdapterError(
            say(
                "the .zip holds {num_found} files named {name}: zip one adapter's folder by itself",
                num_found=len(found),
                name=name,
            )
        )
    return found[0] if found else None


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit_bytes: int) -> bytes:
    with archive.open(entry) as file:
        data = file.read(limit_bytes + 1)  # what the entry says of its size need not be true
    if len(data) > limit_bytes:
        raise AdapterError(
            say(
                "{filename} in the .zip has more than {limit_bytes} bytes, which no LoRA "
                "adapter needs",
                filename=entry.filename,
                limit_bytes=limit_bytes,
            )
        )
    return data
