"""K-Net's head for semantic segmentation: kernels, one per class, that are updated by what they find in the picture.

Zhang et al. 2021, arXiv 2106.14855, section 3.2. A head with a linear classifier gives an embedding F and, with the
classifier's weights as first kernels K_0, first masks M_0 = K_0 F. Then, three times:

    group features      F^K = sum over pixels of softmax_k(M) F
    gates               G = phi_1(F^K) phi_2(K);  G^F = sigmoid(LN psi_1(G)), G^K = sigmoid(LN psi_2(G))
    update              K' = fc(G^F LN psi_3(F^K) + G^K LN psi_4(K))
    interaction         attention among the kernels, and a feed-forward network
    masks               M = g(K') F

Every stage first transforms the embedding by a linear layer of its own, T F + t, as released. As all that follows is
linear in it, it is applied to the sums and to the kernels instead, which are as many as classes, not as many as pixels:
the same numbers but for rounding, at a tenth of the cost. The pictures the released code is trained with have their
masks supervised at every stage, and so have ours (`supervised`).
"""

# B batch, K classes (kernels), E embedding channels, H height, W width

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.class_choice import ClassChoice
from models.head import Head
from models.linear import Linear
from models.points import at_points
from models.supervision import Supervised

NUM_STAGES = 3
NUM_ATTENTION_HEADS = 8
FEED_FORWARD = 2048


class KernelUpdate(nn.Module):
    """Equations 4 to 6: kernels (B, K, E) and group features (B, K, E) to kernels, by gates that both make."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        E = channels
        self.of_features = Linear(E, 2 * E)  # phi_1 and psi_3
        self.of_kernels = Linear(E, 2 * E)  # phi_2 and psi_4
        self.feature_gate = nn.Sequential(Linear(E, E), nn.LayerNorm(E), nn.Sigmoid())
        self.kernel_gate = nn.Sequential(Linear(E, E), nn.LayerNorm(E), nn.Sigmoid())
        self.feature_norm = nn.LayerNorm(E)
        self.kernel_norm = nn.LayerNorm(E)
        self.out = nn.Sequential(Linear(E, E), nn.LayerNorm(E), nn.ReLU())

    def forward(self, kernels_BKE: Tensor, group_BKE: Tensor) -> Tensor:
        feature_in_BKE, feature_BKE = self.of_features(group_BKE).chunk(2, dim=-1)
        kernel_in_BKE, kernel_BKE = self.of_kernels(kernels_BKE).chunk(2, dim=-1)
        both_BKE = feature_in_BKE * kernel_in_BKE
        from_features_BKE = self.feature_gate(both_BKE) * self.feature_norm(feature_BKE)
        from_kernels_BKE = self.kernel_gate(both_BKE) * self.kernel_norm(kernel_BKE)
        updated_BKE: Tensor = self.out(from_features_BKE + from_kernels_BKE)
        return updated_BKE


class KNetStage(nn.Module):
    """One round: kernels and masks to new kernels and new masks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        E = channels
        self.transform = Linear(E, E)
        self.update = KernelUpdate(E)
        self.attention = nn.MultiheadAttention(E, NUM_ATTENTION_HEADS, batch_first=True)
        self.attention_norm = nn.LayerNorm(E)
        self.feed_forward = nn.Sequential(Linear(E, FEED_FORWARD), nn.ReLU(), Linear(FEED_FORWARD, E))
        self.feed_forward_norm = nn.LayerNorm(E)
        self.mask = nn.Sequential(Linear(E, E, bias=False), nn.LayerNorm(E), nn.ReLU(), Linear(E, E))
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, embedding_BEHW: Tensor, kernels_BKE: Tensor, masks_BKHW: Tensor) -> tuple[Tensor, Tensor]:
        """Kernels (B, K, E) and masks (B, K, H, W)."""
        kernels_BKE = self.update(kernels_BKE, self._grouped(embedding_BEHW, masks_BKHW))
        attended_BKE, _ = self.attention(kernels_BKE, kernels_BKE, kernels_BKE, need_weights=False)
        kernels_BKE = self.attention_norm(kernels_BKE + attended_BKE)
        kernels_BKE = self.feed_forward_norm(kernels_BKE + self.feed_forward(kernels_BKE))
        return kernels_BKE, self._masks(self.mask(kernels_BKE), embedding_BEHW)

    def _grouped(self, embedding_BEHW: Tensor, masks_BKHW: Tensor) -> Tensor:
        """sum p (T f + t) = T (sum p f) + t sum p, over pixels (B, K, E)."""
        p_BKN = masks_BKHW.softmax(dim=1).flatten(2)
        sum_BKE = p_BKN @ embedding_BEHW.flatten(2).mT
        return F.linear(sum_BKE, self.transform.weight) + p_BKN.sum(dim=2)[..., None] * self.transform.bias

    def _masks(self, kernels_BKE: Tensor, embedding_BEHW: Tensor) -> Tensor:
        """k (T f + t) = (k T) f + k t, (B, K, H, W)."""
        transformed_BKE = kernels_BKE @ self.transform.weight
        offset_BK1 = kernels_BKE @ self.transform.bias[:, None]
        masks_BKN = torch.baddbmm(offset_BK1, transformed_BKE, embedding_BEHW.flatten(2))
        return masks_BKN.view(*masks_BKN.shape[:2], *embedding_BEHW.shape[-2:])


class KNetHead(Head):
    """K-Net's rounds on the embedding of another head, whose classifier's weights are the first kernels."""

    def __init__(self, base: Head, *, num_stages: int = NUM_STAGES) -> None:
        super().__init__()
        self.num_classes = base.num_classes
        self.embed_channels = base.embed_channels
        self.base = base
        self.stages = nn.ModuleList(KNetStage(base.embed_channels) for _ in range(num_stages))
        self.choice = ClassChoice()

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The embedding (B, E, H, W) of the head beneath."""
        return self.base.embed(features)

    def classify(self, embedding_BEHW: Tensor) -> Tensor:
        """Masks of the last round. They depend on the whole picture."""
        logits_BKHW: Tensor = self.choice(self.rounds(embedding_BEHW)[-1])
        return logits_BKHW

    def rounds(self, embedding_BEHW: Tensor) -> list[Tensor]:
        """Masks (B, K, H, W) of the head beneath and of every round."""
        masks = [self.base.classify(embedding_BEHW)]
        kernels_KE = self.base.classifier.weight.flatten(1)
        kernels_BKE = kernels_KE.expand(embedding_BEHW.shape[0], -1, -1)
        for stage in self.stages:
            kernels_BKE, masks_BKHW = stage(embedding_BEHW, kernels_BKE, masks[-1])
            masks.append(masks_BKHW)
        return masks

    def supervised(self, features: Sequence[Tensor]) -> list[Supervised]:
        """The masks of every round, those of the head beneath included, weighing alike, as released."""
        return [Supervised(masks_BKHW) for masks_BKHW in self.rounds(self.embed(features))]

    def forward_at(self, features: Sequence[Tensor], points_BN: Tensor) -> Tensor:
        """Logits (B, K, N, 1) at points; kernels need the whole picture, so nothing is saved."""
        return at_points(self(features), points_BN)
