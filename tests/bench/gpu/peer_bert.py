#!/usr/bin/env python3
"""Drives Hugging Face's BertForMaskedLM, unchanged, at BERT-base's shape: bf16 autocast, SDPA, fused AdamW, clip at 1.0, no dropout, rows
of 512 of a file of uint16 tokens, 15 % of them chosen and replaced 80/10/10 on the GPU.

    peer_bert.py --tokens bert.u16 --rows 128 --mode compile
        warms up, then reads commands from standard input: `window SECONDS` trains for that long, `quit` ends

Every answer is a line of JSON. Needs torch, numpy and transformers.
"""
import argparse

import numpy as np
import torch

from peer_nanogpt import BETAS, CLIP, LEARNING_RATE, WEIGHT_DECAY, Training, serve

VOCABULARY, MASK = 30522, 30521  # the tokenizer's ids, then the mask
CHOSEN = 0.15


class MaskedTraining(Training):
    def build(self):
        from transformers import BertConfig, BertForMaskedLM

        config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=self.a.length, hidden_dropout_prob=0.0,
                            attention_probs_dropout_prob=0.0, attn_implementation="sdpa")
        model = BertForMaskedLM(config).to(self.a.device)
        decayed = [p for p in model.parameters() if p.dim() >= 2]
        others = [p for p in model.parameters() if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
        return model, torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=self.cuda)

    def batch(self):
        data = np.memmap(self.a.tokens, dtype=np.uint16, mode="r")
        starts = torch.randint(len(data) - self.a.length, (self.a.rows,)).tolist()
        x = torch.stack([torch.from_numpy(data[i : i + self.a.length].astype(np.int64)) for i in starts])
        return x.pin_memory().to("cuda", non_blocking=True) if self.cuda else x

    def step(self, tokens, following):
        chosen = torch.rand(tokens.shape, device=tokens.device) < CHOSEN
        labels = tokens.masked_fill(~chosen, -100)
        dice = torch.rand(tokens.shape, device=tokens.device)
        shown = torch.where(chosen & (dice < 0.8), MASK, tokens)
        shown = torch.where(chosen & (dice >= 0.9), torch.randint_like(tokens, MASK), shown)
        with torch.autocast(self.a.device, torch.bfloat16, enabled=self.a.dtype == "bf16"):
            loss = self.run(input_ids=shown, labels=labels).loss
        tokens = following()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach(), tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", required=True, help="uint16 tokens without a header")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--mode", choices=["eager", "compile", "max-autotune"], default="compile")
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--settle", type=float, default=0.5, help="seconds of every window that do not count")
    a = parser.parse_args()
    a.accumulate = 1
    serve(MaskedTraining(a), a.settle)


if __name__ == "__main__":
    main()
