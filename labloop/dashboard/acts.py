"""What a person may ask of a run: a request in the inbox, with name and reason, confirmed where it hurts."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from rich.text import Text
from textual.app import SystemCommand
from textual.widgets import Static

from labloop.campaign import events as e
from labloop.campaign import text
from labloop.campaign.errors import LabloopError, StateError
from labloop.campaign.holds import FORCE, interlocked
from labloop.campaign.state import PAUSED, RUNNING
from labloop.campaign.view import question_of, target, unapproved, waiting
from labloop.journal import StoreError

from . import view
from .command import labloop
from .dialogs import Answer, Confirm, Line, Wish
from .leaving import Leaving
from .source import RunSource, Sent
from .widgets import say

SENT_SHOWN_S: Final = 15.0
# (name, what it does, action, its parameters)
ACTS: Final[tuple[tuple[str, str, str, tuple[str, ...]], ...]] = (
    ("Pause", "no new step starts; what runs is finished", "ask", ("pause",)),
    ("Resume", "go on after a pause", "ask", ("resume",)),
    ("Stop", "after the current steps; asks first", "stop", ()),
    ("Answer", "what waits for you", "answer", ()),
    ("Approve", "let a proposal run", "approve", ()),
    ("Veto", "drop a proposal that has not begun", "veto", ()),
    ("Edit", "other settings for a proposal that has not begun", "edit", ()),
    ("Add a trial", "with settings of your own", "add", ()),
    ("Mark as wrong", "what was measured of a trial; or take that back", "wrong", ()),
    ("Compare", "which of two trials is better", "compare", ()),
    ("Amend", "the campaign: a range, a choice, a goal, the budget ...", "amend", ()),
    ("Take an amendment back", "the last one that is in force", "unamend", ()),
    ("By hand", "one act of an instrument, while the run is paused", "by_hand", ()),
    ("Note", "for the next shift", "note", ()),
    ("Refill", "what a stock holds now", "refill", ()),
)
TRIAL_ACTS: Final = ("edit", "add", "wrong", "compare")
ACTIONS: Final = frozenset(action for _, _, action, _ in ACTS)


class ActingScreen(Leaving[None]):
    """Sends what a person asks and shows in ``#sent`` what became of it."""

    def __init__(self, source: RunSource) -> None:
        super().__init__()
        self.source = source
        self.sent: Sent | None = None

    def show_sent(self) -> None:
        panel, sent = self.query_one("#sent", Static), self.sent
        panel.display = sent is not None
        if sent is None:
            return
        asked = " ".join([sent.request, *sent.arguments])
        if sent.answer is not None:
            word = "done" if sent.answer.accepted else "refused"
            message = f": {text.plain(sent.answer.message)}" if sent.answer.message else ""
            say(panel, Text(f"{asked}: {word}{message}"))
            told, sent.told = sent.told, True
            if self.app.screen is not self and not told:  # a page lies on top of it
                self.notify(
                    f"{asked}: {word}{message}", severity="information" if sent.answer.accepted else "warning",
                    markup=False,
                )  # fmt: skip
        else:
            how = "is being written down" if sent.by_command else "sent; waiting for the runner"
            say(panel, Text(f"{asked}: {how}"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Say which keys do something now; no other is shown: grey is nothing without colours, nor to tired eyes."""
        if action not in ACTIONS:
            return True
        if self.source.read_only:
            return False
        source, state = self.source, self.source.state
        if action == "answer":
            return bool(waiting(state))
        if not state.opened:
            return False
        if action in ("note", "approve", "veto", "amend", "unamend", *TRIAL_ACTS):  # also where people do the work
            return self.may(action)
        if state.mode == "told":
            return False
        if action == "refill":
            return True
        if source.runner == "gone" or state.state not in (RUNNING, PAUSED):
            return False
        if action == "by_hand":
            return self._at_rest()
        if action == "ask" and parameters:
            if parameters[0] == "resume" and "" in interlocked(state).values():
                return True
            return state.state == {"pause": RUNNING, "resume": PAUSED}[str(parameters[0])]
        return True

    def _at_rest(self) -> bool:
        state = self.source.state
        has_lines = not (state.safe or state.unsafe)  # once it was made safe, nobody holds the bench's lines
        return state.state == PAUSED and not state.held and state.stood is not None and has_lines

    def may(self, action: str) -> bool:
        """Whether there is a trial now that can be asked for that."""
        if action in ("approve", "veto"):
            return self.proposal(approve=action == "approve") is not None
        return action == "note"

    def acts(self) -> Iterator[SystemCommand]:
        """What can be asked now, for the palette."""
        for title, words, action, parameters in ACTS:
            if self.check_action(action, parameters):
                yield SystemCommand(title, words, partial(getattr(self, f"action_{action}"), *parameters))

    def trial_in_hand(self) -> int | None:
        """The trial that a person is looking at."""
        raise NotImplementedError

    def proposal(self, approve: bool) -> int | None:
        """The proposal that is meant: the one that is looked at, else the first that waits."""
        spec, state = self.source.spec, self.source.state
        if approve:
            numbers = unapproved(spec, state) if spec is not None else []
        else:
            numbers = [trial.trial for trial in view.proposals(state)]
        looked_at = self.trial_in_hand()
        return looked_at if looked_at in numbers else next(iter(numbers), None)

    def send(self, request: str, *arguments: str, why: str = "") -> None:
        """Post a request and show what becomes of it. Where no runner lives, labloop itself writes it down."""
        if self.source.runner == "gone":
            reason = ["--why", why] if why else []
            words = (*reason, "--by", self.source.by, "--", str(self.source.folder), request, *arguments)
            self.by_command(Sent("", request, arguments, by_command=True), "request", *words)
            return
        try:
            self.sent = self.source.post(request, *arguments, why=why)
        except LabloopError as error:
            self.notify(text.plain(str(error)), title="Not sent", severity="error", markup=False)
            return
        self._show_for_a_while(self.sent)

    def send_again(self) -> None:
        """Bring what a runner that has ended did not read to labloop itself, as where none lives."""
        try:
            for sent in self.source.unheard():
                self.send(sent.request, *sent.arguments, why=sent.why)
        except StoreError as error:
            self.notify(text.plain(str(error)), title="Not taken back", severity="error", markup=False)

    def by_command(self, sent: Sent, *command: str) -> None:
        """Ask labloop itself, in a process of its own, and show what it says."""
        if self.source.read_only:  # no key leads here then
            raise StateError("This dashboard only looks. Open one without --read-only to ask for something.")
        self.sent = sent
        self.run_worker(partial(self._ask_labloop, sent, command), thread=True)
        self._show_for_a_while(sent)

    def _ask_labloop(self, sent: Sent, command: Sequence[str]) -> None:
        code, words = labloop(*command)
        said = words.removeprefix(f"{sent.request}: ").removeprefix("accepted: ").removeprefix("refused: ")
        sent.answer = e.RequestAnswered(id=sent.id, accepted=code == 0, message=said)
        self.app.call_from_thread(self.show_sent)

    def _show_for_a_while(self, sent: Sent) -> None:
        self.show_sent()
        self.set_timer(SENT_SHOWN_S, partial(self._forget, sent))

    def _forget(self, sent: Sent) -> None:
        """Take an answered request off the screen; one that is not answered stays."""
        if self.sent is sent and sent.answer is not None:
            self.sent = None
            self.show_sent()
        elif self.sent is sent:
            self.set_timer(SENT_SHOWN_S, partial(self._forget, sent))

    def action_ask(self, request: str) -> None:
        """Pause or resume; another person's pause is ended by force, with a reason."""
        others = " and ".join(who for who in self.source.state.holds if who != self.source.by)
        done = text.plain("; ".join(self.source.state.by_hand.values()))
        if request == "resume" and done and not others:
            words = f"Done by hand meanwhile: {done}. Say why the run may go on as it is."
            dialog = Confirm("Is all right as it is?", words, "resume", needs_why=True)
            self.app.push_screen(dialog, self.then("resume", FORCE))
            return
        if request == "pause" or not (others or self.source.state.moved):
            self.send(request)
            return
        if not others:
            what = f"{text.plain(', '.join(self.source.state.moved))}: not as it was left. "
            words = f"{what}Was it put back, leave this empty. Is it right as it is, say why."
            self.app.push_screen(Confirm("Is all as it should be?", words, "resume"), self._moved)
            return
        words = f"It is theirs to say resume: {text.plain(self.source.state.reason)}. By force only with a reason."
        words += f" Done by hand meanwhile: {done}; whether that is right is asked after it." if done else ""
        title = f"Resume, though {text.plain(others)} paused this run?"
        self.app.push_screen(Confirm(title, words, "resume by force", needs_why=True), self.then("resume", FORCE))

    def action_stop(self) -> None:
        """Stop after the current steps, once confirmed."""
        words = (
            "The steps that run now are finished; then the bench goes to its safe state. Go on later with labloop "
            "resume: a sample that waited too long is cleaned away then, and its settings are tried again."
        )
        self.app.push_screen(Confirm("Stop this run?", words, "stop after the current steps"), self.then("stop"))

    def _moved(self, why: str | None) -> None:
        if why is not None:
            self.send("resume", *([FORCE] if why else []), why=why)

    def then(self, request: str, *arguments: str) -> Callable[[str | None], None]:
        """What is done once a reason was given: the request is sent; without an answer nothing is."""

        def done(why: str | None) -> None:
            if why is not None:
                self.send(request, *arguments, why=why)

        return done

    def action_answer(self) -> None:
        """Answer the first open question."""
        step = next(iter(waiting(self.source.state)), None)
        if step is None:
            return
        begun = step.begun
        question, answers = question_of(step)
        title = f"Trial {begun.trial}: " if begun.trial is not None else ""

        def done(answer: tuple[str, str] | None) -> None:
            if answer is not None:
                self.send("resolve", target(step), *(part for part in answer if part))

        dialog = Answer(
            f"{title}{begun.instrument}.{begun.action}",
            text.plain(question),
            {answer: text.plain(effect) for answer, effect in answers.items()},
        )
        self.app.push_screen(dialog, done)

    def action_approve(self) -> None:
        """Let a proposal run, once confirmed: what will be done is shown."""
        number = self.proposal(approve=True)
        if number is not None:
            dialog = Confirm(f"Let trial {number} run?", self.wished(number), "approve")
            self.app.push_screen(dialog, self.then("approve", str(number)))

    def action_veto(self) -> None:
        """Drop a proposal that has not begun, once confirmed; a reason is asked for."""
        number = self.proposal(approve=False)
        if number is not None:
            words = f"{self.wished(number)}. It will not run; the planner proposes another."
            self.app.push_screen(
                Confirm(f"Drop trial {number}?", words, "veto", needs_why=True), self.then("veto", str(number))
            )

    def wished(self, number: int) -> str:
        """The settings of a trial in words."""
        spec = self.source.spec
        assert spec is not None
        return text.plain(text.settings(self.source.state.trials[number].settings, view.units(spec)))

    def action_note(self) -> None:
        """A note for the next shift."""
        dialog = Line("A note for the next shift", "It is kept in the journal with your name.", "what is to be known?")
        self.app.push_screen(dialog, self._noted)

    def _noted(self, line: str | None) -> None:
        if line is not None:
            self.send("note", line)

    def action_by_hand(self) -> None:
        """One act of an instrument, done by the run that has the bench; what it may not do is refused in words."""
        steps = [one for one in self.source.state.steps.values() if one.begun.act and one.begun.settings]
        example = "pump_water.dispense rate=1 mL/min time=20 s"
        if steps:
            begun = steps[-1].begun
            settings = " ".join(f"{name}={text.quantity(one.value, one.unit)}" for name, one in begun.settings.items())
            example = text.plain(f"{begun.instrument}.{begun.action} {settings}")

        def done(wish: tuple[str, str] | None) -> None:
            if wish is not None:
                name, *settings = text.named(wish[0])
                first, *more = name.split(maxsplit=1)
                self.send("act", first, *more, *settings, why=wish[1])

        words = (
            "The run does it, inside the same limits, and counts what it takes: INSTRUMENT.ACTION, then its settings. "
            "Then a resume needs a reason."
        )
        self.app.push_screen(Wish("By hand, while it is paused", words, "", example), done)

    def action_refill(self) -> None:
        """What a stock holds now."""
        words = "Which instrument's stock holds how much now? The name, then the amount with its unit."
        self.app.push_screen(Line("Refilled", words, "pump_water 50 mL"), self._refilled)

    def _refilled(self, line: str | None) -> None:
        if line is not None:
            self.send("refill", *line.split(maxsplit=1))
