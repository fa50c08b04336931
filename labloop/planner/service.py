"""What the planner's process does with each line: remember the campaign and the facts, answer questions."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from labloop.campaign.errors import LabloopError, SpecError, StateError
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.state import CampaignState, fold

from . import wire
from .errors import NothingLeftError
from .planner import Problem, plan
from .problem import read_problem


def serve(receive: Callable[[], bytes], send: Callable[[bytes], object]) -> None:
    """Answer every line that ``receive`` gives, for ever."""
    problem: Problem | None = None
    state = CampaignState()
    while True:
        message = wire.read_for_planner(receive())
        request = message.request if isinstance(message, wire.Ask) else None
        try:
            if isinstance(message, wire.Open):
                now, *former = (spec_from_dict(one, Path(message.folder)) for one in (message.spec, *message.former))
                problem = read_problem(now, former)
                send(wire.pack(wire.Ready()))
            elif isinstance(message, wire.Facts):
                fold(wire.records(message), state)
            else:
                send(wire.pack(_answer(problem, state, message)))
        except LabloopError as error:
            send(wire.pack(wire.Refusal(request=request, kind=_kind(error), message=str(error))))
        except Exception as error:  # noqa: BLE001  a defect of ours: its trace to the log, its words to the runner
            traceback.print_exc(file=sys.stderr)
            words = f"the planner failed: {type(error).__name__}: {error}"
            send(wire.pack(wire.Refusal(request=request, kind="defect", message=words)))


def _answer(problem: Problem | None, state: CampaignState, ask: wire.Ask) -> wire.Answer:
    if problem is None:
        raise StateError("a proposal was asked for before the campaign was opened")
    if state.seq < ask.based_on:
        raise StateError(f"a proposal is to rest on fact {ask.based_on}, but the planner was told {state.seq} only")
    proposals = plan(problem, state, ask.count, ask.first, design_only=ask.design_only)
    return wire.Answer(request=ask.request, proposals=proposals)


def _kind(error: LabloopError) -> str:
    if isinstance(error, NothingLeftError):
        return "nothing_left"
    if isinstance(error, SpecError):
        return "spec"
    return "state" if isinstance(error, StateError) else "defect"
