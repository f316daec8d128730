"""`evenhand export`: a patch in the weights of an ordinary model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evenhand.cli import _options as options
from evenhand.cli._model import ModelRequest, loaded
from evenhand.core.errors import NotMergeable, UsageError


def export(
    model: options.ModelName,
    with_: Annotated[
        Path,
        typer.Option("--with", metavar="PATCH", help="Folder of a patch, or of a trial.", show_default=False),
    ],
    to: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the model; it must be new or empty.", show_default=False)
    ],
    device: options.Device = "auto",
    device_map: options.DeviceMap = None,
    dtype: options.DtypeOption = options.Dtype.auto,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
    accept_licence: options.AcceptLicence = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Write a model folder that holds the patch in its weights; it is read back and scored again before it is kept.

    Needs a patch whose edits are all weights; others are attached with --with or `model.install`.

    Example:

      evenhand export smollm2 --with trials/smollm2-cda --to models/smollm2-cda
    """
    from evenhand.cli import _patches
    from evenhand.cli._progress import bars

    folder = _patches.one(with_)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"--to {to} is not an empty folder. Choose another one; nothing was written.")
    request = ModelRequest(
        name=model,
        device=device,
        device_map=device_map,
        dtype=dtype.value,
        revision=revision,
        trust_remote_code=trust_remote_code,
        accept_licence=accept_licence,
    )
    with bars(quiet=quiet) as progress:
        ready = loaded(request, progress)
        from evenhand.model import Patch
        from evenhand.prove._export import export as write

        progress.busy("writing, reading back and scoring")
        try:
            check = write(ready, Patch.load(folder), to)
        except NotMergeable as error:
            raise NotMergeable(f"{error} Nothing was written.") from error
    if json:
        print(check.model_dump_json(indent=1))
    elif not quiet:
        print(
            f"Read back and scored again: {check.n_texts} texts, at most {check.largest_difference:.1e} nats apart "
            "from the patched model."
        )
        print(f"Model:  {check.folder}")
        print(f'Load:   AutoModelForCausalLM.from_pretrained("{check.folder}")')
