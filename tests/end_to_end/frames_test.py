"""Training on recordings: layouts, resuming, rows as they are shown, what does not fit, and the gallery."""
import array
import json
import math
import random
import re
import wave

from lacuna_runs import check, expect_close_losses, expect_same_metrics, main

ARCHITECTURE = {"kind": "patch_encoder", "num_layers": 2, "hidden_size": 32, "num_heads": 4, "feed_forward_size": 64}
FORMS = {
    "ssast": ({"kind": "masked_spectrogram", "variant": "ssast", "num_masked": 24, "cluster_min": 2, "cluster_max": 3},
              {"patch_mels": 4, "patch_frames": 4, "num_class_tokens": 2}),
    "tera": ({"kind": "masked_spectrogram", "variant": "tera"}, {"position": "sine", "post_norm": True, "dropout": 0.1}),
    "audio_albert": ({"kind": "masked_spectrogram", "variant": "audio_albert"}, {"shared_layers": True}),
    "mp3": ({"kind": "position", "withheld": 1, "eta": 0.75}, {"patch_mels": 4, "patch_frames": 4, "position": "none"}),
    "mp3_frozen": ({"kind": "position", "withheld": 1, "eta": 0.75, "context": "frozen"}, {"patch_mels": 4, "patch_frames": 4, "position": "none"}),
    "drop_pos": ({"kind": "position", "drop": 0.5, "smoothing": 1, "smoothing_steps": 8}, {"patch_mels": 4, "patch_frames": 4}),
}


def recordings(runs):
    """Forty tones of noise and a rising or falling pitch, some longer than a row of 32 frames."""
    corpus = runs.folder / "tones.h5"
    if corpus.exists():
        return corpus
    files, draw = [], random.Random(3)
    for number in range(40):
        files.append(runs.folder / f"{'up' if number % 2 else 'down'}_{number}.wav")
        length, slope = draw.randint(2000, 4000), 0.1 if number % 2 else -0.1
        values = (int(6000 * math.sin(2 * math.pi * (900 + slope * i) * i / 8000) + draw.gauss(0, 900)) for i in range(length))
        with wave.open(str(files[-1]), "wb") as out:
            out.setparams((1, 2, 8000, 0, "NONE", ""))
            out.writeframes(array.array("h", values).tobytes())
    runs.expect(0, "prepare", "--audio", *files, "--mel-bins", "16", "--labels", "{way}_{}", "--out", corpus)
    return corpus


def settings(runs, form, **architecture):
    objective, own = FORMS[form]
    network = {key: value for key, value in {**ARCHITECTURE, **own, **architecture}.items() if value is not None}
    base = {section: {} for section in ("run", "batch", "optimizer", "schedule", "checkpoint", "evaluate")}
    base["run"] = {"seed": 5, "steps": 8, "device": "cpu", "threads": 1, "watchdog": 60}
    corpora = {"train": [recordings(runs)], "validation": [recordings(runs)]}
    return {"base": base, "data": corpora, "batch": {"global_size": 8, "sequence_length": 32}, "objective": dict(objective),
            "architecture": network, "checkpoint": {"every": 0}, "evaluate": {"every": 8, "rows": 12},
            "optimizer": {"kind": "adamw", "learning_rate": 0.003}, "schedule": {"kind": "constant", "warmup_steps": 2}}


def every_form_is_the_same_in_every_layout_and_after_a_stop(runs):
    for form in FORMS:
        runs.train(form, **settings(runs, form))
        for data, tensor, micro in ((2, 1, 0), (1, 2, 0), (1, 1, 4)):
            name, asked = f"{form}-{data}-{tensor}-{micro}", settings(runs, form)
            asked["batch"]["micro_size"] = micro
            runs.train(name, ranks=data * tensor, parallel={"tensor": tensor}, **asked)
            expect_close_losses(runs.losses(form), runs.losses(name), name)
        runs.train(f"{form}-stopped", code=75, run={"stop_after": 4}, **settings(runs, form))
        runs.expect(0, "train", runs.folder / f"{form}-stopped.toml", "--resume", "--set", "run.stop_after=0")
        expect_same_metrics(runs.metrics(form), runs.metrics(f"{form}-stopped"), f"{form} resumed")


def blocks_made_again_change_nothing(runs):
    for form in ("ssast", "mp3_frozen"):
        runs.train(f"{form}-kept", **settings(runs, form))
        runs.train(f"{form}-again", parallel={"recompute": "block"}, **settings(runs, form))
        expect_close_losses(runs.losses(f"{form}-kept"), runs.losses(f"{form}-again"), f"{form} with recomputation")


def places_are_judged_beside_the_oracle(runs):
    runs.train("found", **settings(runs, "mp3"))
    line = json.loads(runs.expect(0, "evaluate", runs.run_folder("found"), "--json", "--set", "objective.duplicates=count"))[0]
    check(0 <= line["accuracy"] <= line["oracle"] <= 1, f"{line}")


def a_checkpoint_needs_nothing_else_to_be_judged(runs):
    runs.train("judged", **settings(runs, "ssast"))
    line = json.loads(runs.expect(0, "evaluate", runs.run_folder("judged"), "--json"))[0]
    check({"loss", "discriminative", "generative", "accuracy"} <= set(line) and "perplexity" not in line, f"{line}")
    output = runs.expect(2, "generate", runs.run_folder("judged"), "--prompt", "a")
    check("reads frames" in output, output)
    output = runs.expect(2, "evaluate", runs.run_folder("judged"), "--task", "needle")
    check("judges texts" in output, output)


def rows_are_shown_as_patches(runs):
    config = runs.config("shown", **settings(runs, "ssast"))
    rows = json.loads(runs.expect(0, "inspect", config, "--batch", "--json"))["rows"]
    check(len(rows) == 16, f"{len(rows)} rows of 8 samples under two masks each")
    for row in rows:
        check(len(row["mask"]) == 32 and sum(row["mask"]) == 24 and row["values"] == [32, 16], f"{row}")
        check(all(weight == 0 for weight, there in zip(row["weights"], row["segments"]) if there == 0), "padding weighs something")


def what_does_not_fit_is_said(runs):
    cases = {"patch_mels": ({"patch_mels": 5}, "5 does not divide the 16 bins"),
             "patch_frames": ({"patch_frames": 5}, "5 does not divide batch.sequence_length = 32")}
    for key, (change, words) in cases.items():
        output = runs.train("unfit", code=2, **settings(runs, "ssast", **change))
        check(words in output and key in output and "unfit.toml:" in output, output)
    asked = settings(runs, "mp3", position="learned")
    check('architecture.position = "none"' in runs.train("leak", code=2, **asked), "MP3 beside learned positions")
    asked = settings(runs, "ssast")
    asked["data"] = {"train": [runs.corpus]}
    output = runs.train("texts", code=2, **asked)
    check("masked_spectrogram does not fit patch_encoder here: the corpora hold text" in output, output)
    output = runs.train("frames", code=2, data={"train": [recordings(runs)]})
    check("the corpora hold frames, and the network reads text" in output, output)
    output = runs.train("mixed", code=3, **{**settings(runs, "ssast"), "data": {"train": [recordings(runs), runs.corpus]}})
    check("holds text" in output, output)


def a_gallery_shows_hidden_and_painted_parts(runs):
    runs.train("painted", **settings(runs, "ssast"))
    page = runs.run_folder("painted") / "gallery.html"
    check(str(page) in runs.expect(0, "inspect", runs.run_folder("painted"), "--gallery"), "the page is not named")
    text = page.read_text()
    check(len(re.findall(r"<img [^>]*data:image/png;base64,", text)) == 36, "three pictures of twelve rows")
    check("way up" in text and "http" not in text, "labels, and nothing from elsewhere")
    runs.train("placed", **settings(runs, "drop_pos"))
    check("paints nothing" in runs.expect(2, "inspect", runs.run_folder("placed"), "--gallery"), "position paints nothing")


if __name__ == "__main__":
    main(every_form_is_the_same_in_every_layout_and_after_a_stop, blocks_made_again_change_nothing, places_are_judged_beside_the_oracle,
         a_checkpoint_needs_nothing_else_to_be_judged, rows_are_shown_as_patches, what_does_not_fit_is_said,
         a_gallery_shows_hidden_and_painted_parts)
