"""A loaded language model: what it is, and its answers to requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

from torch import Tensor

from evenhand.core.edits import BranchingEdit, Edit, SegmentEdit
from evenhand.core.errors import UnsupportedRequest, UsageError
from evenhand.core.record import ModelIdentity
from evenhand.core.requests import (
    Choose,
    Classify,
    Compare,
    Complete,
    NextToken,
    Request,
    Response,
)
from evenhand.core.sites import Site
from evenhand.data.cache import Progress as FetchProgress
from evenhand.model import identity, jobs, load, pieces
from evenhand.model.anatomy import Anatomy
from evenhand.model.attention import Reader, reading
from evenhand.model.check import Choice, Reach, choose_road
from evenhand.model.devices import Dtype, threads, torch_dtype, usable
from evenhand.model.encode import Counts, Encoder, has_segments, requests_hash
from evenhand.model.encoders import classified_work, masked_work
from evenhand.model.expand import expand
from evenhand.model.installed import Handle, Stack
from evenhand.model.load import Task
from evenhand.model.packed import input_device
from evenhand.model.padded import PaddedRoad
from evenhand.model.patch import Patch
from evenhand.model.pieces import Piece
from evenhand.model.plan import Budget
from evenhand.model.traces import Pool, pooled, traced
from evenhand.model.work import Work

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LOGITS = 1 << 26
"""Numbers in the logits of a pack on the CPU (256 MiB in float32); four times as many on an accelerator."""


_ABLE: dict[Task, tuple[type, ...]] = {
    "decoder": (Choose, Compare, NextToken, Complete),
    "masked": (Compare,),
    "classifier": (Classify,),
    "encoder": (),
}
"""Requests that each kind of model can answer."""


class Model:
    """A transformers model with its tokenizer. Use `load` or `wrap`.

    Attributes:
        hf: the transformers model, in evaluation mode.
        tokenizer: its tokenizer.
        name: as it was asked for.
        task: "decoder", "masked", "encoder" or "classifier": which requests it can answer.
        budget: how large packs may grow.
    """

    def __init__(
        self,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        place: load.Place | None = None,
        batch_tokens: int | None = None,
    ) -> None:
        if batch_tokens is not None and batch_tokens < 16:
            raise UsageError(f"--batch-tokens {batch_tokens} is too small; give at least 16.")
        hf.train(False)
        self.hf = hf
        self.tokenizer = tokenizer
        self.name = name
        self.task: Task = load.task_of(hf)
        self.budget = default_budget(hf, batch_tokens)
        self._place = place
        self._identity: ModelIdentity | None = None
        self._choice: Choice | None = None
        self._stack = Stack()

    @classmethod
    def load(
        cls,
        name: str,
        *,
        revision: str | None = None,
        dtype: Dtype = "auto",
        device: str = "auto",
        device_map: str | None = None,
        batch_tokens: int | None = None,
        trust_remote_code: bool = False,
        progress: FetchProgress | None = None,
    ) -> Self:
        """Load a bundled name, a hub id, a local folder or a .gguf file.

        Args:
            name: `smollm2`, `gemma3-270m`, `minilm`, `owner/name`, a folder with safetensors weights, or `file.gguf`.
            revision: hub branch, tag or commit; the commit it resolves to is recorded.
            dtype: "auto" is float32 on the CPU and the stored dtype elsewhere.
            device: "auto" is the first accelerator, else the CPU.
            device_map: spread layers over devices, as transformers does ("auto", "balanced"); overrides `device`.
            batch_tokens: tokens per forward pass; more is faster until memory is full.
            trust_remote_code: run Python code that comes with the model. Only if you have read it.
            progress: called while files are fetched, with bytes done, bytes in all, and what.

        Raises:
            UsageError: there is no such model.
            MissingFile: it could not be fetched; the message lists every way to get it.
            DamagedModel: its files are damaged or hold NaN.
        """
        place = load.find(name, revision, progress)
        chosen = usable(device)
        hf = load.read(
            place,
            dtype=torch_dtype(dtype, chosen if device_map is None else "cuda"),
            device=chosen,
            device_map=device_map,
            trust_remote_code=trust_remote_code,
        )
        tokenizer = load.read_tokenizer(place, trust_remote_code=trust_remote_code)
        model = cls(hf, tokenizer, name=name, place=place, batch_tokens=batch_tokens)
        _ = model.identity  # hashed once, and weights with NaN are found here
        return model

    @classmethod
    def wrap(
        cls,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str = "live model",
        batch_tokens: int | None = None,
    ) -> Self:
        """Use a model that is already loaded, as it is (dtype, device, hooks)."""
        return cls(hf, tokenizer, name=name, batch_tokens=batch_tokens)

    @property
    def identity(self) -> ModelIdentity:
        """Hashes of weights, configuration and tokenizer, without what is installed on it.

        A live model may have changed, so its are taken afresh while nothing is installed.
        """
        if self._identity is None or (self._place is None and not self._stack.handles):
            files = self._place.files if self._place else []
            self._identity = ModelIdentity(
                name=self.name,
                source=self._place.source if self._place else "live model",
                task=self.task,
                architecture=type(self.hf).__name__,
                parameters=sum(parameter.numel() for parameter in self.hf.parameters()),
                weights=identity.cached_weights_hash(self.hf, files) if files else identity.weights_hash(self.hf),
                config=identity.config_hash(self.hf.config),
                tokenizer=identity.tokenizer_hash(self.tokenizer),
                licence=self._place.licence if self._place else "",
            )
        return self._identity

    @cached_property
    def anatomy(self) -> Anatomy:
        """Where its parts are.

        Raises:
            UnsupportedSite: its blocks cannot be told apart.
        """
        return Anatomy(self.hf)

    @property
    def edits(self) -> list[Edit]:
        """The edits in place, in the order in which they were installed."""
        return self._stack.edits

    @property
    def patches(self) -> list[Patch]:
        """The patches in place, in the order in which they were installed."""
        return [handle.patch for handle in self._stack.handles if handle.patch is not None]

    def install(self, what: Patch | Sequence[Edit]) -> Handle:
        """Put a patch or bare edits in place: `with model.install(patch): ...`, or `handle.remove()` later.

        Raises:
            WrongBase: the patch was fitted on another model.
            PatchError: an edit does not fit this model. Nothing is left behind.
            UnsupportedSite: this architecture lacks a part that an edit needs.
        """
        identity, anatomy = self.identity, self.anatomy
        patch = what if isinstance(what, Patch) else None
        if isinstance(what, Patch):
            what.check_base(identity)
            edits = list(what.method.edits(what.tensors, self))
        else:
            edits = list(what)
        return self._stack.push(anatomy, edits, patch, self._changed)

    @contextmanager
    def trace(self, sites: Collection[Site], *, grad: bool = False) -> Iterator[dict[Site, list[Tensor]]]:
        """Keep the activations of these sites, [B, L, D] each, one entry per forward pass of `hf` inside.

        Args:
            sites: which; a unit of a site is ignored, the whole activation is kept.
            grad: keep them in the graph, with their gradients; otherwise detached copies.
        """
        with traced(self.hf, self.anatomy, sites, grad=grad) as found:
            yield found

    def states(self, texts: Sequence[str], sites: Sequence[Site], *, pool: Pool = "mean") -> dict[Site, Tensor]:
        """Activations of whole texts, float32 [N, D] on the CPU: the mean over the text's tokens, or the last token's.

        Texts get the special tokens that the tokenizer gives them; these count as tokens. Long texts are cut.
        """
        return pooled(self, texts, sites, pool)

    @contextmanager
    def attention(self, layers: Collection[int], reader: Reader, *, rows: Tensor | None = None) -> Iterator[None]:
        """Call `reader(layer, weights [B, H, R, Lk])` in every forward pass of `hf` inside.

        Args:
            layers: which layers.
            reader: reduces the weights; it must not keep them.
            rows: the wanted queries of each text, int [B, R]; None = all of them.

        Raises:
            UnsupportedSite: there is no such layer, or this family shows no weights.
        """
        with reading(self.hf, self.anatomy, layers, reader, rows):
            yield

    def _changed(self) -> None:
        """What was found out about the model no longer holds."""
        self._choice = None

    @property
    def device(self) -> str:
        """Where token ids go."""
        return str(input_device(self.hf))

    @property
    def dtype(self) -> str:
        """Floating type of the weights."""
        return str(self.hf.dtype).removeprefix("torch.")

    @property
    def threads(self) -> int:
        """CPU threads of a forward pass; a run's numbers are repeatable for the same count."""
        return threads()

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer knows a chat format."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    def answer(
        self, requests: Iterable[Request], *, chat: bool = False, progress: jobs.Progress | None = None
    ) -> list[Response]:
        """Responses in the order of the requests."""
        return self.prepare(list(requests), chat=chat).run(progress=progress)

    def special_tokens(self, *, chat: bool = False) -> str:
        """What opens a text, for the record."""
        return Encoder(self.tokenizer, self.hf.config, chat=chat).special_tokens

    def prepare(self, requests: Sequence[Request], *, chat: bool = False) -> Work:
        """Encode and plan without running anything but, once, the self-check that chooses the road.

        Args:
            requests: what to ask, kinds mixed freely.
            chat: put prompts into the model's chat format.

        Raises:
            UnsupportedRequest: this kind of model cannot answer one of them.
        """
        for request in requests:
            if type(request) not in _ABLE[self.task]:
                able = ", ".join(kind.__name__ for kind in _ABLE[self.task]) or "none (it has no head that scores text)"
                raise UnsupportedRequest(
                    f"{self.name} is of kind {self.task!r} and cannot answer {type(request).__name__} requests. "
                    f"It can answer: {able}."
                )
        if self.task == "masked":
            return masked_work(self.hf, self.tokenizer, cast("Sequence[Compare]", requests), self.budget)
        if self.task == "classifier":
            return classified_work(self.hf, self.tokenizer, cast("Sequence[Classify]", requests), self.budget)
        expansion = expand(requests, self.edits)
        work = self._decoded(expansion.requests, chat)
        inner = work.assemble
        work.assemble = lambda results: expansion.collapse(inner(results))
        return work

    def _decoded(self, requests: Sequence[Request], chat: bool) -> Work:
        encoder = Encoder(self.tokenizer, self.hf.config, chat=chat)
        edit = next((one for one in self.edits if isinstance(one, BranchingEdit)), None)
        branches = [edit.prompts(request) if edit else () for request in requests]
        counts = Counts()
        made: list[Piece] = []
        roads: list[Choice] = []
        plain = [n for n, r in enumerate(requests) if jobs.is_scoring(r) and not branches[n]]
        moving = any(isinstance(one, SegmentEdit) for one in self.edits)
        for moved in (False, True):  # what an edit of segments leaves alone takes the usual road
            some = [n for n in plain if (moving and has_segments(requests[n])) == moved]
            if not some:
                continue
            encoded = encoder.encode([requests[n] for n in some])
            counts.add(encoded.counts)
            longest = max(len(text.tokens) for text in encoded.texts)
            roads.append(self._segment_road(longest) if moved else self._road(longest))
            made.append(pieces.scoring(some, [requests[n] for n in some], encoded, roads[-1], self.budget))
        branched = [n for n, r in enumerate(requests) if jobs.is_scoring(r) and branches[n]]
        if branched and edit:
            chosen = [requests[n] for n in branched]
            made.append(pieces.branching(self.hf, branched, chosen, encoder, edit, self.budget))
        alike: dict[tuple[int, bool], list[int]] = {}  # a batch is read as prompts with segments if one of its rows is
        for n, request in enumerate(requests):
            if isinstance(request, Complete):
                moved = moving and any(map(has_segments, (request, *branches[n])))
                alike.setdefault((len(branches[n]), moved), []).append(n)
        for (size, _), written in sorted(alike.items()):
            own = cast("list[Complete]", [requests[n] for n in written])
            others = [encoder.prompts(cast("Sequence[Complete]", branches[n]), counts) for n in written]
            prompts = encoder.prompts(own, counts)
            given = (written, own, prompts, others if size else [], edit if size else None, self.budget)
            made.append(pieces.writing(self.hf, self.tokenizer, *given))

        def assemble(results: list[Any]) -> list[Response]:
            found: dict[int, Response] = {}
            rest = iter(results)
            for piece in made:
                found.update(piece.finish([next(rest) for _ in piece.work]))
            return [found[number] for number in range(len(requests))]

        said = [one.road.name + (f" ({one.reason})" if one.reason else "") for one in roads]
        named = "; ".join([*said, *(["several prompts at once"] if branched else [])])
        work = [job for piece in made for job in piece.work]
        plan = jobs.combined([*(piece.digest for piece in made), requests_hash(requests)])
        asked = sum(piece.asked for piece in made)

        def release() -> None:
            for one in roads:
                one.road.release()

        return Work(work, plan, sum(job.tokens for job in work), asked, named, counts, assemble, release)

    def _segment_road(self, longest: int) -> Choice:
        """Prompts with segments: each in a row of its own, read once for all its options if no other edit hinders."""
        cache = all(edit.pointwise or isinstance(edit, SegmentEdit) for edit in self.edits)
        return Choice(PaddedRoad(self.hf, cache=cache), "segments of prompts", Reach.of(self.hf.config, longest))

    def _road(self, longest: int) -> Choice:
        if self._choice is None or not self._choice.covers(self.hf.config, longest):
            elsewhere = (BranchingEdit, SegmentEdit)  # what these act on never comes here
            alone = [edit for edit in self.edits if not isinstance(edit, elsewhere)]
            pointwise = all(edit.pointwise for edit in alone)
            self._choice = choose_road(self.hf, longest, pointwise=pointwise, edited=bool(alone))
        return self._choice


def default_budget(hf: PreTrainedModel, batch_tokens: int | None) -> Budget:
    """Pack sizes for a device: tokens as asked, logits bounded by the size of the vocabulary."""
    accelerated = input_device(hf).type != "cpu"
    pack = batch_tokens or (16384 if accelerated else 1024)
    vocabulary = hf.config.get_text_config().vocab_size if hasattr(hf.config, "get_text_config") else 1
    scored = max(1, (4 if accelerated else 1) * LOGITS // max(1, vocabulary))
    return Budget(row=min(256, pack), pack=pack, scored=min(pack, scored))
