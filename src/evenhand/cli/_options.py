"""Options that several commands share, written once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Chat(StrEnum):
    """Use of the chat format."""

    auto = "auto"
    on = "on"
    off = "off"


class Dtype(StrEnum):
    """Floating type of the weights."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="smollm2, gemma3-270m, minilm; a Hugging Face id (owner/name); a folder; or a .gguf file.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Folder for the results.", show_default="audits/MODEL-...")
]
LocateOut = Annotated[
    Path | None, typer.Option("--out", metavar="FOLDER", help="Folder for the results.", show_default="audits/MODEL-BY")
]
TrialOut = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Folder for the trial.", show_default="trials/MODEL-METHOD"),
]
TestOn = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="NAMES",
        help="Benchmarks to test on, separated by commas, instead of the method's own.",
        show_default="the method's own",
    ),
]
Guards = Annotated[
    list[str] | None,
    typer.Option(
        "--guards",
        metavar="RULES",
        help="Largest loss allowed, e.g. stereoset.lms>=-2 or perplexity.perplexity<=+5%; separated by commas; none "
        "for no guards. Exit code 3 if one fails.",
        show_default="those of the method; of most, perplexity +5 %, and LMS -2 with StereoSet",
    ),
]
TrialGate = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="RULE",
        help="Exit with 3 unless it holds: a verdict such as improved, or a number of the patched model, e.g. "
        "'stereoset.ss<=55'. May be repeated.",
        show_default=False,
    ),
]
WithPatch = Annotated[
    Path | None,
    typer.Option(
        "--with",
        metavar="PATCH",
        help="Folder of a patch (or of a trial) to install first; the record names it.",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="At most so many items of each benchmark: a seeded, balanced sample."),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Of samples and intervals.")]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, mps, ...")]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        metavar="HOW", help="Spread a large model over devices: auto, balanced, sequential.", show_default=False
    ),
]
DtypeOption = Annotated[
    Dtype,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="float32, bfloat16, float16 or auto: float32 on the CPU, the stored type elsewhere.",
    ),
]
BatchTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=16, help="Tokens per forward pass. Less needs less memory.", show_default="by device"
    ),
]
ChatOption = Annotated[
    Chat, typer.Option("--chat", help="Chat format for prompts. auto: where the benchmark is a conversation.")
]
Revision = Annotated[
    str | None, typer.Option(metavar="NAME", help="Branch, tag or commit of a Hugging Face id.", show_default=False)
]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")]
AcceptLicence = Annotated[
    bool, typer.Option("--accept-licence", help="Accept the licence of the model or data without being asked.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run in the folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table.")]
Json = Annotated[bool, typer.Option("--json", help="Results as JSON on stdout; progress goes to stderr.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be measured and how long it would take.")]
Gate = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="RULE",
        help="Exit with 3 if it does not hold, e.g. 'stereoset.ss<=55'. May be repeated.",
        show_default=False,
    ),
]
