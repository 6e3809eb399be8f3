"""Layout changes nothing: the same losses whatever the ranks, the axes and the micro-batches."""
from lacuna_runs import expect_close_losses, main

LAYOUTS = ((2, 1, 0), (1, 2, 0), (2, 2, 2), (4, 1, 1), (1, 1, 2))  # data, tensor, micro-batch
GPT2 = {"architecture": {"dropout": 0.1}}
LLAMA = {"architecture": {"position": "rotary", "activation": "swiglu", "norm": "rms_norm", "num_kv_heads": 2, "bias": "none",
                          "tied_embedding": False},
         "data": {"document_mask": True}}


def compare(runs, name, shape):
    runs.train(f"{name}-1x1", **shape)
    reference, worst = runs.losses(f"{name}-1x1"), 0.0
    for data, tensor, micro in LAYOUTS:
        other = f"{name}-{data}x{tensor}-{micro}"
        runs.train(other, ranks=data * tensor if data * tensor > 1 else 0, parallel={"tensor": tensor},
                   batch={"micro_size": micro}, **shape)
        worst = max(worst, expect_close_losses(reference, runs.losses(other), other))
    return f"{len(reference)} steps, {len(LAYOUTS)} layouts, worst relative difference {worst:.1e}"


def gpt2_shape_with_dropout(runs):
    return compare(runs, "gpt2", GPT2)


def llama_shape_with_document_mask(runs):
    return compare(runs, "llama", LLAMA)


if __name__ == "__main__":
    main(gpt2_shape_with_dropout, llama_shape_with_document_mask)
