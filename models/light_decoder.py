"""The light decoder: a small head that tells classes from the first stage's features alone.

HAMLET, Colomer et al., ICCV 2023, arXiv 2307.15063: how far what it says lies from the whole network's answer is the
signal by which a domain is known, at the cost of one stage of four. Layers are the published ones (embedding, fusion,
batch norm, ReLU, classifier); the embedding is the whole network's own, as published, and is not trained.

Up to the ReLU it is linear, and so is batch norm in eval mode: then one product from stage-1 channels to the embedding
is left, five times cheaper than the layers one by one.

    decoder = LightDecoder.of(model)                                    # begins as the head's share of stage 1
    logits_BKHW = decoder(model.encoder.run_stages(x_B3HW, stop=1)[0])
"""

# B batch, H height, W width, C channels of stage 1, E embedding channels, K classes, N pixels

import torch
from torch import Tensor, nn

from models.linear import Linear, linear
from models.segformer import SegmentationModel, segformer_head

PREFIX = "light_decoder."  # of its tensors in a checkpoint


class LightDecoder(nn.Module):
    """Stage-1 features (B, C, H, W) to logits (B, K, H, W)."""

    def __init__(self, channels: int, *, embed_channels: int, num_classes: int) -> None:
        super().__init__()
        self.embed = Linear(channels, embed_channels)
        self.fuse = Linear(embed_channels, embed_channels, bias=False)
        self.bn = nn.BatchNorm1d(embed_channels)
        self.classifier = Linear(embed_channels, num_classes)

    @classmethod
    def of(cls, model: SegmentationModel) -> "LightDecoder":
        """Untrained, in eval mode, on the model's device: a copy of what the model's head does to stage 1."""
        head = segformer_head(model.head, needed_by="the light decoder")
        with torch.device("meta"):  # nothing is drawn for weights that are copied anyway
            decoder = cls(model.encoder.channels[0], embed_channels=head.embed_channels, num_classes=model.num_classes)
        decoder = decoder.to_empty(device=next(model.parameters()).device)
        with torch.no_grad():
            decoder.embed.load_state_dict(head.linear_c[0].state_dict())
            decoder.fuse.weight.copy_(head.linear_fuse.weight.flatten(1)[:, -head.embed_channels :])  # c1 comes last
            decoder.bn.load_state_dict(head.bn.state_dict())
            decoder.classifier.weight.copy_(head.classifier.weight.flatten(1))
            if head.classifier.bias is not None:
                decoder.classifier.bias.copy_(head.classifier.bias)
        return decoder.eval()

    def forward(self, features_BCHW: Tensor) -> Tensor:
        logits_BHWK = self.of_pixels(features_BCHW.permute(0, 2, 3, 1))
        return logits_BHWK.permute(0, 3, 1, 2)

    def of_pixels(self, features_BHWC: Tensor) -> Tensor:
        """The same for any number of leading dimensions; every pixel by itself, but for batch norm in training mode."""
        if self.bn.training or self.bn.running_mean is None or self.bn.running_var is None:
            fused_BHWE: Tensor = self.fuse(self.embed(features_BHWC))
            normed_NE: Tensor = self.bn(fused_BHWE.reshape(-1, fused_BHWE.shape[-1]))
            hidden_BHWE = normed_NE.view(fused_BHWE.shape)
        else:
            scale_E = self.bn.weight * torch.rsqrt(self.bn.running_var + self.bn.eps)
            fuse_EE = self.fuse.weight * scale_E[:, None]
            shift_E = fuse_EE @ self.embed.bias + (self.bn.bias - scale_E * self.bn.running_mean)
            hidden_BHWE = linear(features_BHWC, fuse_EE @ self.embed.weight, shift_E)
        logits_BHWK: Tensor = self.classifier(hidden_BHWE.relu())
        return logits_BHWK
