"""What every head has: an embedding of the feature maps, pixel by pixel, and a linear classifier on it.

Online learning asks no more of a head than this. What needs to look inside (`SegFormerHead`'s single batch norm, its
embeddings by stage) asks for that class.
"""

# B batch, C channels of a stage, E embedding channels, K classes, H height, W width, N points

from collections.abc import Sequence

from torch import Tensor, nn

from models.linear import linear
from models.points import at_points
from models.supervision import Supervised


class Head(nn.Module):
    """Four feature maps to class logits at the first one's resolution. Subclasses make the parts named here."""

    embed_channels: int
    num_classes: int
    dropout: nn.Dropout2d
    classifier: nn.Conv2d

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The embedding (B, E, H, W) of feature maps (B, C_i, H_i, W_i), shallow to deep."""
        raise NotImplementedError

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits (B, K, H, W) from feature maps (B, C_i, H_i, W_i), shallow to deep."""
        return self.classify(self.embed(features))

    def classify(self, embedding_BEHW: Tensor) -> Tensor:
        """Logits (B, K, H, W) of an embedding."""
        weight_KE = self.classifier.weight.flatten(1)
        y_BHWE = self.dropout(embedding_BEHW).permute(0, 2, 3, 1)
        return linear(y_BHWE, weight_KE, self.classifier.bias).permute(0, 3, 1, 2)

    def forward_at(self, features: Sequence[Tensor], points_BN: Tensor) -> Tensor:
        """Logits (B, K, N, 1) at points of the first map (`models.points`): `forward`'s own there, and its gradients.

        Cheaper than `forward` only where a pixel's embedding does not need its neighbours'.
        """
        return self.classify(self.embed_at(features, points_BN))

    def supervised(self, features: Sequence[Tensor]) -> list[Supervised]:
        """What supervised training learns from; its last answer is `forward`'s."""
        return [Supervised(self(features))]

    def embed_at(self, features: Sequence[Tensor], points_BN: Tensor) -> Tensor:
        """The embedding (B, E, N, 1) at points."""
        return at_points(self.embed(features), points_BN)
