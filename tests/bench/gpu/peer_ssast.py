#!/usr/bin/env python3
"""The network and the losses of SSAST (Gong et al. 2022; base, patches) in plain PyTorch, for torch.compile: bf16 autocast, SDPA, fused
AdamW, clip at 1.0, no dropout. Written from the paper: a patch embedding, two class tokens and learned positions, twelve pre-norm blocks,
two heads of two layers; each clip is read twice, with masks of its own for the contrastive and for the generative loss.

    peer_ssast.py --rows 32 --mode compile
        warms up, then reads commands from standard input: `window SECONDS` trains for that long, `quit` ends

Every answer is a line of JSON; a clip counts as its 512 patches. Needs torch and numpy.
"""
import argparse

import torch
from torch import nn
from torch.nn import functional as F

from peer_nanogpt import BETAS, CLIP, LEARNING_RATE, WEIGHT_DECAY, Training, serve

BINS, FRAMES, PATCH = 128, 1024, 16
PATCHES, VALUES = BINS * FRAMES // PATCH**2, PATCH**2
MASKED, WEIGHT = 400, 10.0


class Block(nn.Module):
    def __init__(self, size, heads):
        super().__init__()
        self.heads = heads
        self.first_norm, self.second_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.input, self.output = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.up, self.down = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)

    def forward(self, x):
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.input(self.first_norm(x)).chunk(3, -1))
        x = x + self.output(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.second_norm(x))))


class Spectrograms(nn.Module):
    def __init__(self, size=768, heads=12, layers=12):
        super().__init__()
        self.embedding = nn.Linear(VALUES, size)
        self.mask, self.tokens = nn.Parameter(0.02 * torch.randn(size)), nn.Parameter(0.02 * torch.randn(2, size))
        self.positions = nn.Parameter(0.02 * torch.randn(PATCHES + 2, size))
        self.blocks = nn.ModuleList(Block(size, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(size)
        self.contrast, self.generate = (nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, VALUES)) for _ in range(2))

    def forward(self, clips, chosen):
        """clips (B, 512, 256); chosen (2, B, 400), of the contrastive and of the generative loss. Sums over clips."""
        rows = clips.shape[0]
        both = torch.cat([clips, clips])
        chosen = chosen.flatten(0, 1)
        masked = torch.zeros(2 * rows, PATCHES, dtype=torch.bool, device=clips.device).scatter(1, chosen, True)
        x = torch.where(masked.unsqueeze(-1), self.mask, self.embedding(both))
        x = torch.cat([self.tokens.to(x.dtype).expand(2 * rows, -1, -1), x], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        states = self.norm(x)[:, 2:]
        states = states.gather(1, chosen.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
        truth = both.gather(1, chosen.unsqueeze(-1).expand(-1, -1, VALUES))
        logits = truth[:rows] @ self.contrast(states[:rows]).mT
        labels = torch.arange(MASKED, device=clips.device).expand(rows, -1)
        contrastive = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
        return contrastive + WEIGHT * F.mse_loss(self.generate(states[rows:]).float(), truth[rows:])


class SpectrogramTraining(Training):
    def build(self):
        model = Spectrograms().to(self.a.device)
        decayed = [p for p in model.parameters() if p.dim() >= 2]
        others = [p for p in model.parameters() if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
        self.clips = torch.randn(256, PATCHES, VALUES)  # what they hold costs nothing
        self.clips = self.clips.pin_memory() if self.cuda else self.clips
        return model, torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=self.cuda)

    def batch(self):
        first = torch.randint(len(self.clips) - self.a.rows, ()).item() if len(self.clips) > self.a.rows else 0
        clips = self.clips[first : first + self.a.rows].to(self.a.device, non_blocking=True)
        return clips, torch.rand(2, len(clips), PATCHES, device=self.a.device).argsort(-1)[..., :MASKED]

    def step(self, batch, following):
        with torch.autocast(self.a.device, torch.bfloat16, enabled=self.a.dtype == "bf16"):
            loss = self.run(*batch)
        batch = following()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach(), batch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--mode", choices=["eager", "compile", "max-autotune"], default="compile")
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--settle", type=float, default=0.5, help="seconds of every window that do not count")
    a = parser.parse_args()
    a.accumulate, a.length = 1, PATCHES
    serve(SpectrogramTraining(a), a.settle)


if __name__ == "__main__":
    main()
