"""The weights of a decoder as what is trained: each beside its gradient."""

from __future__ import annotations

from dataclasses import dataclass

from app.config import FullWeights, ModelConfig
from app.errors import ConfigError
from app.gpu.graph import Storage, Tensor, persistent
from app.messages import say
from app.nn.weights import PROJECTION_GROUPS, DecoderWeights, LayerWeights
from app.ops.matrix import Format, Matrix, new_matrix

SEGMENT_ELEMENTS = 64
"""Norms begin at multiples of 256 bytes, so that they can be bound."""


@dataclass(frozen=True, eq=False)
class TrainedMatrix:
    """A matrix and its gradient.

    Attributes:
        source: The loaded matrix that it starts as; the same object where it is trained in place.
        matrix: What is trained.
        gradient: (num_columns, stride), f32: dW transposed, see `app.ops.gradient`.
    """

    source: Matrix
    matrix: Matrix
    gradient: Tensor


@dataclass(frozen=True, eq=False)
class TrainableWeights:
    """All weights of a decoder, to be trained.

    The norms lie in one array, so that the many small ones take one dispatch.

    Attributes:
        weights: The decoder over what is trained.
        layers: Matrices of each layer by group.
        head: `embedding` where they are tied: it gathers both gradients.
        gains: (norms, hidden_size padded), f32: two of each layer, then the last.
        gain_gradients: Like gains.
    """

    weights: DecoderWeights
    embedding: TrainedMatrix
    layers: tuple[dict[str, TrainedMatrix], ...]
    head: TrainedMatrix
    gains: Tensor
    gain_gradients: Tensor

    @classmethod
    def create(
        cls,
        config: ModelConfig,
        base: DecoderWeights,
        wanted: FullWeights,
        *,
        keeps_base: bool = False,
    ) -> TrainableWeights:
        """Return trainable weights without buffers, but for matrices that are trained in place.

        Args:
            config: Shape of the model.
            base: Its loaded weights.
            wanted: f32 or f16 for all matrices; int4 for projections that are INT4 already, f16
                for the embedding and the head. A matrix that is in its format is trained in place.
            keeps_base: None is trained in place: the loaded weights stay as they are.

        Raises:
            ConfigError: int4 is wanted but the projections are not.
        """
        num_norms = 2 * len(base.layers) + 1
        width = -(-config.hidden_size // SEGMENT_ELEMENTS) * SEGMENT_ELEMENTS
        gains = persistent("norms", (num_norms, width), "weights")

        def gain(index: int) -> Tensor:
            return Tensor((config.hidden_size,), gains.storage, offset_bytes=4 * width * index)

        def table(label: str, source: Matrix) -> TrainedMatrix:
            kind: Format = "f16" if wanted == "int4" else wanted
            return _trained(label, source, kind, keeps_base=keeps_base)

        embedding = table("embedding", base.embedding)
        head = embedding if base.head is base.embedding else table("head", base.head)
        layers = tuple(
            {
                group: _trained(
                    f"{index}.{group}", layer.projections[group], wanted, keeps_base=keeps_base
                )
                for group in PROJECTION_GROUPS
            }
            for index, layer in enumerate(base.layers)
        )
        weights = DecoderWeights(
            embedding.matrix,
            tuple(
                LayerWeights(
                    gain(2 * index),
                    gain(2 * index + 1),
                    {group: trained.matrix for group, trained in layer.items()},
                )
                for index, layer in enumerate(layers)
            ),
            gain(num_norms - 1),
            head.matrix,
            base.rope_table,
        )
        gradients = persistent("norm gradients", gains.shape, "optimizer")
        return cls(weights, embedding, layers, head, gains, gradients)

    @property
    def matrices(self) -> list[TrainedMatrix]:
        """Every matrix once: the embedding, the layers, the head where it is another."""
        found = [self.embedding]
        for layer in self.layers:
            found += layer.values()
        return found if self.head is self.embedding else [*found, self.head]

    @property
    def num_parameters(self) -> int:
        """Weights that are trained."""
        matrices = sum(t.matrix.num_rows * t.matrix.num_columns for t in self.matrices)
        return matrices + len(self.norms()) * self.weights.norm.size

    def norms(self) -> list[Tensor]:
        """Return the norms in the order of `gains`."""
        return norms_of(self.weights)

    def gain_gradient(self, index: int) -> Tensor:
        """Return where the gradient of one norm is added."""
        size, width = self.weights.norm.size, self.gains.shape[1]
        return Tensor((size,), self.gain_gradients.storage, offset_bytes=4 * width * index)

    def storages(self) -> set[Storage]:
        """Return what the trained model keeps when the run is over."""
        return set(self.weights.storages())


def norms_of(weights: DecoderWeights) -> list[Tensor]:
    """Return the norms of a decoder: two of each layer, then the last."""
    norms = []
    for layer in weights.layers:
        norms += [layer.input_norm, layer.post_attention_norm]
    return [*norms, weights.norm]


def _trained(label: str, source: Matrix, wanted: Format, *, keeps_base: bool) -> TrainedMatrix:
    if wanted == "int4" and source.format != "int4":
        raise ConfigError(
            say(
                "full training in int4 needs INT4 weights, but {matrix} is {format}: load a Q4_0 "
                "or Q4_1 model, or train in f16 or f32",
                matrix=source.words.storage.label,
                format=source.format,
            )
        )
    matrix = source
    if source.format != wanted or keeps_base:
        matrix = new_matrix(label, wanted, source.num_rows, source.num_columns)
    shape = (matrix.num_columns, matrix.stride)
    return TrainedMatrix(source, matrix, persistent(f"{label} gradient", shape, "optimizer"))
