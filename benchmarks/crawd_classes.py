"""CrAWD on a classifier: `minilm` with a head for two classes on HateCheck, texts about seven groups.

    python benchmarks/crawd_classes.py [--row NAME] [--table] [--publish]

HateCheck's texts are split by template, as evenhand does. First `minilm` is trained on the fold 'fit' without anything
else (five passes, AdamW, 5e-5) and saved: the model before. Then each row is a trial of `crawd` with one seed on the
same texts, its shams beside it, with the seven groups' words as reference; on the fold 'test' accuracy and the gap of
the true positive rate over groups, with intervals over templates. float32, one thread. It needs
`hatecheck/test_suite_cases.csv` under EVENHAND_DATA. `--publish` writes what the documentation shows to
docs/results/crawd_classes.json.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import evenhand as eh
import ledger
from evenhand.core import registry
from evenhand.core.items import Item
from evenhand.data import source
from evenhand.measure._benchmark import Benchmark
from evenhand.measure._plan import configured
from methods import cells, condensed

ROWS = ["seed 0", "seed 1", "seed 2"]
SHOWN = ("classes.accuracy", "classes.tpr_gap")
WORDS = ("women", "trans", "gay", "black", "disabled", "Muslims", "immigrants")
LABELS = ("non-hateful", "hateful")
SETTINGS = {"reference": (), "words": WORDS, "sentences": 4000}
EPOCHS, BATCH, RATE = 5, 32, 5e-5


def texts() -> Benchmark:
    """HateCheck as texts with a class, a group and a template."""
    file = Path(os.environ.get("EVENHAND_DATA", "")) / "hatecheck" / "test_suite_cases.csv"
    if not file.is_file():
        raise SystemExit(f"HateCheck is not at hand: {file} is missing. Set EVENHAND_DATA.")
    columns = {"text": "test_case", "label": "label_gold", "group": "target_ident", "cluster": "templ_id"}
    return configured("classes", {"file": str(file), "positive": LABELS[1], **columns})


def trained(folder: Path, items: Sequence[Item]) -> Path:
    """The classifier before anything is done to it: `minilm` with a head, trained on the texts."""
    out = folder / "minilm-hatecheck"
    if (out / "model.safetensors").exists():
        return out
    untrained = next(iter(source.get("minilm").paths().values())).parent
    chance = torch.Generator().manual_seed(0)
    named = dict(enumerate(LABELS))
    network = AutoModelForSequenceClassification.from_pretrained(
        untrained,
        num_labels=len(LABELS),
        id2label=named,
        label2id={name: n for n, name in named.items()},
        hidden_dropout_prob=0.0,  # so that the training is a matter of `chance` alone
        attention_probs_dropout_prob=0.0,
    )
    torch.nn.init.normal_(network.classifier.weight, std=0.02, generator=chance)
    tokenizer = AutoTokenizer.from_pretrained(untrained)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE)
    network.train()
    for epoch in range(EPOCHS):
        order = torch.randperm(len(items), generator=chance).tolist()
        for begin in range(0, len(items), BATCH):
            chosen = [items[number] for number in order[begin : begin + BATCH]]
            read = tokenizer([one.texts["text"] for one in chosen], padding=True, truncation=True, return_tensors="pt")
            labels = torch.tensor([LABELS.index(str(one.facts["label"])) for one in chosen])
            loss = network(**read, labels=labels).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        ledger.note(f"minilm: pass {epoch + 1} of {EPOCHS} done")
    network.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def measure(row: str, folder: Path) -> ledger.Json:
    """One trial."""
    torch.set_num_threads(1)
    tested = texts()
    model = eh.Model.load(str(trained(folder, eh.items(tested, fold="fit").items)), dtype="float32", device="cpu")
    trial = eh.trial(
        model,
        registry.get("mitigations", "crawd")(**SETTINGS),
        fit_on=tested,
        test_on=[tested],
        guards=(),
        rivals=(),
        seed=int(row.removeprefix("seed ")),
        draws=2000,
        out=folder / row.replace(" ", "-"),
        resume=True,
    )
    return {**condensed(trial, SHOWN), "model": "minilm, trained on HateCheck,"}


def settings(_: str, folder: Path) -> ledger.Json:
    """What decides a row's numbers."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in SETTINGS.items()}


def main() -> None:
    """Command line."""
    ledger.main(__doc__, "crawd_classes", ROWS, settings, measure, cells)


if __name__ == "__main__":
    main()
