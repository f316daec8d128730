"""What a mitigation may change, as data. `evenhand.model.edits` installs them; nothing else touches a model.

The kinds are a closed set: a new mitigation returns some of these, a new kind is a change of the core. Each says

    pointwise   it acts on a token without looking at the other rows and columns of a forward pass: only then may the
                engine pack several texts into one row (the self-check at the first use would notice otherwise);
    mergeable   it can become part of the weights;
    acts_on     the requests whose answers it can change.

Shapes: B texts, L tokens, D hidden, H heads, S scored places, V vocabulary. Functions are pure: they return new tensors
and keep no state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from evenhand.core.requests import Choose, Request
from evenhand.core.sites import Site

if TYPE_CHECKING:
    from torch import Tensor

Acts = frozenset[str]
Where = Literal["all", "prompt_last", "generated"]
EVERYTHING: Acts = frozenset({"Choose", "Compare", "NextToken", "Complete", "Classify"})
PROMPTED: Acts = frozenset({"Choose", "Compare", "NextToken", "Complete"})


@dataclass(frozen=True)
class ActivationEdit:
    """Replace the activation at a site: `fn` [B, L, D] to [B, L, D].

    Attributes:
        where: "all" tokens; "prompt_last", the last token before what is scored or generated; "generated", that token
            and those that follow it. The latter two need to know where a prompt ends: the engine then scores each text
            in a row of its own.
    """

    site: Site
    fn: Callable[[Tensor], Tensor]
    where: Where = "all"
    mergeable: ClassVar[bool] = False
    acts_on: ClassVar[Acts] = EVERYTHING

    @property
    def pointwise(self) -> bool:
        """Only if it acts on all tokens alike."""
        return self.where == "all"


@dataclass(frozen=True)
class LowRank:
    """Adds `up @ down`: up [rows, r], down [r, columns], in the parameter's own orientation."""

    up: Tensor
    down: Tensor


@dataclass(frozen=True)
class Dense:
    """Adds a tensor of the parameter's own shape."""

    delta: Tensor


@dataclass(frozen=True)
class Slice:
    """Adds `values` to the entries `index` along `axis`, e.g. the rows of one head's query projection."""

    axis: int
    index: Sequence[int]
    values: Tensor


@dataclass(frozen=True)
class WeightEdit:
    """Add to a parameter, named as in `named_parameters`. A tied parameter changes in all its places."""

    param: str
    delta: LowRank | Dense | Slice
    pointwise: ClassVar[bool] = True
    mergeable: ClassVar[bool] = True
    acts_on: ClassVar[Acts] = EVERYTHING


@dataclass(frozen=True)
class EmbeddingEdit:
    """Replace rows of the input embedding: `values` [rows, D] for the token ids `rows`.

    Attributes:
        head: where the vocabulary head is tied to the embedding: "untie" keeps the head as it was, "follow" lets it
            change too.
    """

    rows: Sequence[int]
    values: Tensor
    head: Literal["untie", "follow"] = "untie"
    pointwise: ClassVar[bool] = True
    mergeable: ClassVar[bool] = True
    acts_on: ClassVar[Acts] = EVERYTHING


@dataclass(frozen=True)
class Marked:
    """Weights that are changed at columns which the prompt decides; while it is continued, the columns stay the same.

    Attributes:
        find: post-softmax weights [B, heads, Lq, Lk] of a pass that reads prompts, and which of them count, bool
            [B, 1, Lq, Lk] (the query belongs to the prompt and sees the key; never padding), to marks, bool
            [B, heads, Lk].
        change: weights and marks of any pass (columns after the prompt are not marked) to new weights.
        never: token ids whose columns are not marked, whatever `find` says.
    """

    find: Callable[[Tensor, Tensor], Tensor]
    change: Callable[[Tensor, Tensor], Tensor]
    never: tuple[int, ...] = ()


@dataclass(frozen=True)
class AttentionEdit:
    """Change how some heads of a layer attend; all other heads stay as they are, on the fast path.

    Attributes:
        fn: post-softmax weights [B, heads, Lq, Lk] (queries that are padding attend to anything) to new ones.
        temperature: divides the scores before the softmax.
        rowwise: what `fn` does to a row of weights depends on nothing but that row, and not on where its columns lie.
        marked: a change at columns that the prompt decides, after `fn`.
    """

    layer: int
    heads: tuple[int, ...]
    fn: Callable[[Tensor], Tensor] | None = None
    temperature: float = 1.0
    rowwise: bool = False
    marked: Marked | None = None
    mergeable: ClassVar[bool] = False
    acts_on: ClassVar[Acts] = EVERYTHING

    @property
    def pointwise(self) -> bool:
        """If there is no function, or one that acts row by row, and no marks."""
        return self.marked is None and (self.fn is None or self.rowwise)


@dataclass(frozen=True)
class SegmentEdit:
    """Let queries see the segments of a prompt (`core.segments`) in an order of their own, in all layers and heads.

    The tokens of a segment see all other segments, as if their own were the last; tokens after the segments see them as
    before. Each query sees the keys at new positions: the more important a segment is to it, the nearer it stands. The
    queries of one segment share one order. Prompts without segments stay on the usual path.

    Attributes:
        importance: mass [B, H, Lq, S] and lengths in tokens [B, 1, 1, S] to importance [B, H, Lq, S]. A query's mass on
            a segment is its softmax over the tokens of all segments but its own, from scores without positions, summed
            over the segment's tokens and, in a segment, over the segment's queries. Equal importance leaves segments in
            the order of the prompt.
    """

    importance: Callable[[Tensor, Tensor], Tensor]
    pointwise: ClassVar[bool] = False
    mergeable: ClassVar[bool] = False
    acts_on: ClassVar[Acts] = PROMPTED


@dataclass(frozen=True)
class BranchEdit:
    """A branch beside the vocabulary head: `fn` reads the last hidden state [B, L, D] and adds to the logits [B, L, V].

    Beside the classes of a classifier it reads the first token's state [B, D] and adds to their logits [B, C].

    Attributes:
        fn: called with the hidden state and the reference [R, D] (None if there is none).
        reference: token ids whose last hidden states the branch reads. They are encoded when the edit is installed,
            after the weight edits of its patch.
    """

    fn: Callable[[Tensor, Tensor | None], Tensor]
    reference: tuple[int, ...] = ()
    pointwise: ClassVar[bool] = True
    mergeable: ClassVar[bool] = False
    acts_on: ClassVar[Acts] = EVERYTHING


@dataclass(frozen=True)
class LogitsEdit:
    """Change the logits [..., V] of the next token at every place."""

    fn: Callable[[Tensor], Tensor]
    pointwise: ClassVar[bool] = True
    mergeable: ClassVar[bool] = False
    acts_on: ClassVar[Acts] = PROMPTED


@dataclass(frozen=True)
class BranchingEdit:
    """Ask the model further prompts beside a request's own and combine the logits, place by place.

    Attributes:
        prompts: the same request under other prompts, with the same options or texts in the same order; a `Compare`
            may come back as a `Choose` whose options are its texts. An empty tuple leaves the request alone.
        combine: logits [S, V] under the request's own prompt, and those under each other prompt, to logits [S, V].
        written: the same where the next token of a continuation is chosen; None = `combine`. For limits on what may be
            written, which would make the score of a given text meaningless.
        moves: how far the logits that choose what is written may move, up to what all have in common, where each logit
            that they are made of moves by at most so many nats: a number or [S, V]; None = as far. A contrast makes
            rounding larger, and a choice is left to a batch only where that cannot change it.
    """

    prompts: Callable[[Request], tuple[Request, ...]]
    combine: Callable[[Tensor, tuple[Tensor, ...]], Tensor]
    written: Callable[[Tensor, tuple[Tensor, ...]], Tensor] | None = None
    moves: Callable[[Tensor, tuple[Tensor, ...], float], Tensor | float] | None = None
    pointwise: ClassVar[bool] = False
    mergeable: ClassVar[bool] = False
    acts_on: ClassVar[Acts] = PROMPTED


@dataclass(frozen=True)
class ScoreEdit:
    """Change the scores of the options of a `Choose`.

    Attributes:
        extra_requests: what else to ask for this request, e.g. its options after an empty context.
        fn: total log-probability of each option (nats), and the same for each extra request, to new totals. The change
            of an option is booked on its first token.
        offset: what to add to the total of each option (nats) by what the request says, after `fn`; None adds nothing.
        by_request: stands for `fn` where what is done depends on the request too; None = `fn`.
    """

    extra_requests: Callable[[Choose], tuple[Choose, ...]]
    fn: Callable[[tuple[float, ...], tuple[tuple[float, ...], ...]], tuple[float, ...]]
    offset: Callable[[Choose], tuple[float, ...]] | None = None
    by_request: Callable[[Choose, tuple[float, ...], tuple[tuple[float, ...], ...]], tuple[float, ...]] | None = None
    pointwise: ClassVar[bool] = True
    mergeable: ClassVar[bool] = False
    acts_on: ClassVar[Acts] = frozenset({"Choose"})


@dataclass(frozen=True)
class PromptEdit:
    """Change the prompt, before the chat format is put round it.

    The empty prompt of a `Compare` is given to `fn` too: if it comes back with text, the texts are scored after it.
    """

    fn: Callable[[str], str]
    pointwise: ClassVar[bool] = True
    mergeable: ClassVar[bool] = False
    acts_on: ClassVar[Acts] = PROMPTED


Edit = (
    ActivationEdit
    | WeightEdit
    | EmbeddingEdit
    | AttentionEdit
    | SegmentEdit
    | BranchEdit
    | LogitsEdit
    | BranchingEdit
    | ScoreEdit
    | PromptEdit
)
