"""What a stored tensor becomes when a model is quantized while it is loaded."""

from __future__ import annotations

from app.config import Quantization
from app.errors import FormatError
from app.io.stored_tensor import StoredTensor
from app.messages import say
from app.ops.matrix import FORMAT_OF_TYPE, Format
from app.ops.quantize import SOURCE_PRELUDES

PROJECTION_FORMATS: dict[Quantization, Format] = {
    "int4": "int4",
    "int4-symmetric": "int4",
    "nf4": "nf4",
    "lowra": "int4",
}
TABLE_FORMAT: Format = "int8"
"""The embedding and the head keep more bits, as in published files of 4-bit models: a token's
whole meaning is one row of the one, and every logit a row of the other."""


def target_format(
    source: StoredTensor, quantization: Quantization, *, is_table: bool = False
) -> Format:
    """Return the format of the matrix that a tensor becomes.

    What the file holds in integers stays as it is.

    Raises:
        FormatError: NF4 or LowRA is wanted of a projection that is in integers already.
    """
    if quantization == "none" or source.type not in SOURCE_PRELUDES:
        if quantization in ("nf4", "lowra") and not is_table:
            raise FormatError(
                say(
                    "{name} is quantized already ({type}): {quantization} is made of F32, F16 or "
                    "BF16 weights. Choose such a file of this model, or quantize none",
                    name=source.name,
                    type=source.type,
                    quantization=quantization,
                )
            )
        return FORMAT_OF_TYPE[source.type]
    return TABLE_FORMAT if is_table else PROJECTION_FORMATS[quantization]
