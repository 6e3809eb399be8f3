"""Layout changes nothing: the same losses whatever the ranks, the axes and the micro-batches."""
from lacuna_runs import check, expect_close_losses, main

LAYOUTS = ((2, 1, 0), (1, 2, 0), (2, 2, 2), (4, 1, 1), (1, 1, 2))  # data, tensor, micro-batch
GPT2 = {"architecture": {"dropout": 0.1}}
LLAMA = {"architecture": {"position": "rotary", "activation": "swiglu", "norm": "rms_norm", "num_kv_heads": 2, "bias": "none",
                          "tied_embedding": False},
         "data": {"document_mask": True}}


PALM = {"objective": {"kind": "prefix_language"},
        "architecture": {"visibility": "prefix", "partial_attention": True, "type_embedding": True, "separate_positions": True,
                         "dropout": 0.1}}
RED = {"objective": {"kind": "prefix_language", "source_loss": 1.0},
       "architecture": {"kind": "encoder_decoder", "position": "rotary", "shared_sides": True, "coordinated_layers": True,
                        "joint_softmax": True, "consecutive_positions": True, "causal_encoder": True}}


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


def attention_to_the_source_alone(runs):
    return compare(runs, "palm", PALM)


def an_encoder_decoder_that_is_a_language_model(runs):
    return compare(runs, "red", RED)


def sharded_optimizers_and_whole_streams(runs):
    """parallel.shard_optimizer, and without the parallel.sequence that the other layouts have."""
    clipped = {"optimizer": {"clip_norm": 0.3}, **GPT2}
    runs.train("plain", **clipped)
    reference, worst = runs.losses("plain"), 0.0
    layouts = ((2, 1, 0, True, True), (4, 1, 1, True, True), (2, 2, 2, True, True), (2, 2, 0, True, False),
               (1, 2, 0, False, False))
    for data, tensor, micro, shard, sequence in layouts:
        name = f"{data}x{tensor}-{'sharded' if shard else 'whole'}-{'split' if sequence else 'unsplit'}"
        output = runs.train(name, ranks=data * tensor, batch={"micro_size": micro}, **clipped,
                            parallel={"tensor": tensor, "shard_optimizer": shard, "sequence": sequence, "bucket_megabytes": 0.02})
        told = f"1/{data} on each data rank" if shard else "whole on every data rank"
        check(told in output, f"{name} does not tell {told}:\n{output}")
        worst = max(worst, expect_close_losses(reference, runs.losses(name), name))
    return f"{len(layouts)} layouts, worst relative difference {worst:.1e}"


def one_data_rank_has_nothing_to_share(runs):
    output = runs.train("alone", parallel={"shard_optimizer": True}, run={"steps": 2})
    check("parallel.shard_optimizer has one data rank alone" in output, f"it is not told:\n{output}")


def positions_that_tensor_does_not_divide_are_refused(runs):
    odd = {"batch": {"sequence_length": 31}, "run": {"steps": 2}}
    output = runs.train("odd", ranks=2, code=2, parallel={"tensor": 2}, **odd)
    mend = "use a multiple of 2, or set parallel.sequence = false"
    check("odd.toml:" in output and mend in output, f"no place or mend is told:\n{output}")
    runs.train("odd", ranks=2, parallel={"tensor": 2, "sequence": False}, **odd)


if __name__ == "__main__":
    main(gpt2_shape_with_dropout, llama_shape_with_document_mask, attention_to_the_source_alone,
         an_encoder_decoder_that_is_a_language_model, sharded_optimizers_and_whole_streams,
         one_data_rank_has_nothing_to_share, positions_that_tensor_does_not_divide_are_refused)
