"""Every error that this package raises on purpose.

Each message names what was given, what was expected and what to do about it, so that
the command line and the page can show it as it stands.
"""

from __future__ import annotations

import json

from app.messages import say


class StudioError(Exception):
    """Base of all errors a person can mend; shown without a traceback.

    Attributes:
        problems: What is wrong, one sentence each; the message joins them.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    @property
    def sentence(self) -> str:
        """The message; as it was said where there is one problem, so that it can be translated."""
        return self.problems[0] if len(self.problems) == 1 else str(self)


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


class UnsavedModelError(StudioError):
    """A trained model that was never downloaded would be lost."""


class NoTunedModelError(StudioError):
    """No model was trained whole."""


class CheckpointError(StudioError, ValueError):
    """A checkpoint that cannot be gone on from: damaged, missing, or of another run."""


class Problems:
    """Gathers what is wrong with an input, so that all of it is told at once."""

    def __init__(self) -> None:
        self._errors: list[StudioError] = []

    def add(self, *sentences: str) -> None:
        """Note settings that are out of range."""
        if sentences:
            self._errors.append(ConfigError(*sentences))

    def gathered(self, but: type[StudioError] | tuple[()] = ()) -> _Gathering:
        """Note an error of a `with` block instead of passing it on; the rest of it is left out.

        Args:
            but: Errors that are passed on.
        """
        return _Gathering(self._errors, but)

    @property
    def found(self) -> tuple[str, ...]:
        """One sentence for each problem noted so far."""
        return tuple(problem for error in self._errors for problem in error.problems)

    def together(self) -> StudioError:
        """Return what was noted as one error: of its kind, or ConfigError for several kinds."""
        if len(self._errors) == 1:
            return self._errors[0]
        kinds = {type(error) for error in self._errors}
        kind = kinds.pop() if len(kinds) == 1 else ConfigError
        return kind(*self.found)

    def raise_if_any(self) -> None:
        """Raise what was noted; return where nothing was."""
        if self._errors:
            raise self.together()


class _Gathering:
    """A `with` block whose errors are noted."""

    def __init__(self, errors: list[StudioError], but: type[StudioError] | tuple[()]) -> None:
        self._errors, self._but = errors, but

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, StudioError) or isinstance(error, self._but):
            return False
        self._errors.append(error)
        return True


_JSON_MISTAKES = {
    "Expecting value": say("a value is missing, or is a word that needs double quotes"),
    "Expecting property name": say("a name in double quotes is missing"),
    "Expecting ':'": say("a colon after a name is missing"),
    "Expecting ','": say("a comma, or the closing bracket, is missing"),
    "Illegal trailing comma": say("there is a comma too many before a closing bracket"),
    "Extra data": say("something follows after the end"),
    "Unterminated string": say("a text has no closing double quotes"),
    "Invalid control character": say("a text holds a line break or a tab: write \\n or \\t"),
    "Invalid \\": say("a backslash stands before what it cannot stand before: write two"),
    "Unexpected UTF-8 BOM": say("a mark of UTF-8 (a BOM) stands at its beginning"),
}
"""Beginnings of what Python's parser says, and what they come to in words for people."""


def json_problem(error: Exception, *, is_one_line: bool = False) -> str:
    """Return what is wrong with a text that is not JSON, and where.

    Args:
        error: What parsing it raised.
        is_one_line: Only the column says where: the line is named elsewhere.
    """
    if isinstance(error, json.JSONDecodeError):
        problem = next(
            (words for start, words in _JSON_MISTAKES.items() if error.msg.startswith(start)),
            say("it cannot be read any further"),
        )
        if is_one_line:
            return say("{problem} (column {column})", problem=problem, column=error.colno)
        return say(
            "{problem} (line {line}, column {column})",
            problem=problem,
            line=error.lineno,
            column=error.colno,
        )
    if isinstance(error, UnicodeDecodeError):
        return say("it is not UTF-8 text (byte {position})", position=error.start)
    if isinstance(error, RecursionError):
        return say("it is nested too deep")
    if str(error).startswith("Exceeds the limit"):
        return say("a number in it has too many digits")
    problems: tuple[str, ...] = getattr(error, "problems", ())
    return problems[0] if len(problems) == 1 else str(error)
