"""Every error that this package raises on purpose.

Each message names what was given, what was expected and what to do about it, so that
the command line and the page can show it as it stands.
"""


class StudioError(Exception):
    """Base of all errors a person can mend; shown without a traceback."""


class ConfigError(StudioError, ValueError):
    """One or more settings are out of range; the message lists all of them."""


class ShapeError(StudioError, ValueError):
    """Arrays whose shapes do not fit together."""


class FormatError(StudioError, ValueError):
    """A file that is truncated, corrupted or of a kind that is not read here."""


class AdapterError(StudioError, ValueError):
    """A LoRA adapter that does not fit the loaded model."""


class CorpusError(StudioError, ValueError):
    """Training text that cannot be used: empty, binary, too large."""


class GpuError(StudioError, RuntimeError):
    """The device refused or failed; carries the label of the kernel concerned."""


class NoAdapterError(GpuError):
    """No WebGPU adapter was found on this machine."""


class OutOfGpuMemoryError(GpuError, MemoryError):
    """A plan exceeds a limit of the device; raised before anything is allocated."""


class DeviceLostError(GpuError):
    """The device went away; its buffers are gone and a new one must be requested."""


class TrainingDivergedError(StudioError, ArithmeticError):
    """Three steps in a row gave a loss that is not finite."""


class CheckpointError(StudioError, ValueError):
    """A checkpoint that cannot be gone on from: damaged, missing, or of another run."""
