"""The facts of a bench (bench.db): what outlives runs. Read together with those of a run, see events."""

from .values import Amount, Fact, Witness


class BenchOpened(Fact, frozen=True, kw_only=True):
    """First fact of a bench's journal."""

    name: str
    version: str


class LeaseTaken(Fact, frozen=True, kw_only=True):
    """One controller a bench: the epoch goes up by one each time.

    ``untouched``: it is proven that the guard of the run, whose last process is gone, did nothing to the bench.
    """

    epoch: int
    run: str
    mode: str
    untouched: bool = False


class LeaseReleased(Fact, frozen=True, kw_only=True):
    """The bench is free. ``owes``: the run left an open question, and keeps its claim on the bench; and so where it was
    ``unasked``: its start did not come so far as to ask what became of what an earlier one had begun."""

    epoch: int
    owes: str = ""
    unasked: bool = False


class JournalNoted(Fact, frozen=True, kw_only=True):
    """How far the journal of a run had come: its row ``seq`` ended the chain of all before it with ``chain`` (hex).

    Written when the run takes the bench and when it gives it back: outside the run's folder somebody remembers it.
    """

    run: str
    run_id: str
    seq: int
    chain: str


class GuardActed(Fact, frozen=True, kw_only=True):
    """The runner of ``run`` was gone or hung, and the guard made the bench safe. ``errors``: why it is not safe.

    The run keeps its claim on the bench: what it had begun is still to be asked after.
    """

    epoch: int
    run: str
    why: str
    found: dict[str, Witness] = {}
    errors: list[str] = []
    took_s: float = 0.0


class StockSet(Fact, frozen=True, kw_only=True):
    """A person filled or counted: ``name`` holds ``amount`` now; ``wish``: the request that said so (once only)."""

    name: str
    amount: Amount
    by: str = ""
    why: str = ""
    wish: str = ""


class StockDrawn(Fact, frozen=True, kw_only=True):
    """An act took ``amount`` out of ``name``; ``act`` is the step's identity (once only)."""

    name: str
    amount: Amount
    act: str


class ActCounted(Fact, frozen=True, kw_only=True):
    """An act that a total of the lab counts, or that empties one, is over (once only).

    ``amount``: what it moved (None: nobody knows); ``asked``: what it was to move.
    """

    act: str
    instrument: str
    action: str
    amount: Amount | None = None
    asked: Amount | None = None
    done: bool = True


class TotalSet(Fact, frozen=True, kw_only=True):
    """A person emptied or looked: the total ``name`` of the lab file stands at ``amount`` now.

    ``wish``: the request that said so (once only).
    """

    name: str
    amount: Amount
    by: str = ""
    why: str = ""
    wish: str = ""


class HoldsKept(Fact, frozen=True, kw_only=True):
    """Who paused ``run`` and has not said resume since, and why: until then nobody else moves anything on this bench.

    Empty: nobody any more. Written when the run gives the bench back, and when a pause ends that no runner sees.
    """

    run: str
    holds: dict[str, str] = {}


class ContentsChanged(Fact, frozen=True, kw_only=True):
    """What stands in a vessel or cell now (``""``: clean)."""

    place: str
    sample: str = ""


class ByHand(Fact, frozen=True, kw_only=True):
    """An act by hand under the same limits; written before (``done`` false) and after.

    ``before``: the instrument's own counters just before it, in the first of the two. ``run``: the paused run that
    did it for a person ("": none).
    """

    act: str
    instrument: str
    action: str
    settings: dict[str, Amount] = {}
    achieved: dict[str, Amount] = {}
    done: bool = False
    failed: str = ""
    by: str = ""
    before: dict[str, Amount] = {}
    run: str = ""


class QuestionOpened(Fact, frozen=True, kw_only=True):
    """A run left an act in doubt on this bench."""

    run: str
    step: str
    question: str


class QuestionClosed(Fact, frozen=True, kw_only=True):
    """It was answered."""

    run: str
    step: str
    answer: str
    by: str = ""
