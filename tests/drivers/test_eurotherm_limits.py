"""A Eurotherm's own setpoint limits, beside those of lab and campaign: compared, and set where the lab file asks."""

from pathlib import Path

import pytest

from drivers.eurotherm import E3216
from labloop.bench import Amount, Envelope, InstrumentFault, LinkTimeout, SpecError
from labloop.campaign.spec import lab_from_dict
from labloop.planner.inline import InlinePlanner
from labloop.runner import session
from labloop.runner.look import see
from labloop.runner.parts import Parts
from tests.drivers.rigs import Rig

HOUSE = Path(__file__).parents[2]


def bounded(low, high, *, own=(0, 1200), **more):
    """An open controller with limits of its own, told what the lab allows."""
    it = Rig(E3216, **{"control": "remote"} | more)
    read = it.device._read
    it.device._read = lambda number, now_s: {112: 10 * own[0], 111: 10 * own[1]}.get(number) or read(number, now_s)
    it.driver.open()
    it.driver.limits = {"temperature": (low, high)}
    return it


@pytest.mark.parametrize(
    ("low", "high", "own", "said"),
    [
        (None, 900.0, (0, 1200), r"SP\.HI \(register 111\) = 1200 degC is above the 900 degC that the lab allows"),
        (20.0, 900.0, (15, 900), r"SP\.LO \(register 112\) = 15 degC is below the 20 degC that the lab allows"),
        (
            None,
            899.9,
            (0, 900),
            r"= 900 degC is above the 899\.9 degC .*setpoint_limits: set in the lab file.*setpoint_limits: own",
        ),
    ],
)
def test_own_limits_that_are_wider_are_refused_and_never_written(low, high, own, said):
    it = bounded(low, high, own=own)
    with pytest.raises(InstrumentFault, match=said) as caught:
        it.driver.configure()
    assert caught.value.kind == "setup"
    assert {one.data[1] for one in it.port.traffic if one.kind == "sent"} == {3}, "it is read, and never written"
    bounded(low, high, own=own, setpoint_limits="own").driver.configure()


@pytest.mark.parametrize(("low", "high"), [(None, None), (None, 900.0), (15.0, 900.0), (10.0, 1000.0)])
def test_own_limits_as_narrow_or_narrower_are_well(low, high):
    it = bounded(low, high, own=(15, 900))
    it.driver.configure()
    assert it.device.worn == 0
    assert {one.data[1] for one in it.port.traffic if one.kind == "sent"} == {3}


def test_limits_that_were_widened_at_the_panel_are_seen_at_the_next_start():
    own = [0, 900]
    it = bounded(None, 900.0, own=own)
    it.driver.configure()
    own[1] = 1200
    with pytest.raises(InstrumentFault, match=r"SP\.HI"):
        it.driver.configure()


@pytest.mark.parametrize(
    ("limits", "lab", "campaign", "code"),
    [("checked", 900, 900, 3), ("own", 900, 900, 0), ("checked", 1200, 900, 0), ("set", 900, 800, 0)],
    ids=["wider than the lab's", "let be", "wider than the campaign's", "set"],
)
def test_a_run_does_not_begin_on_a_controller_that_holds_less_back_than_the_lab(tmp_path, limits, lab, campaign, code):
    (tmp_path / "lab.yaml").write_text(f"""
labloop: 1
root: {HOUSE}
instruments:
  furnace:
    driver: "drivers.eurotherm:E3216"
    simulator: "simulators.eurotherm:E3216"
    port: "serial:///dev/furnace?baud=9600"
    control: remote
    setpoint_limits: {limits}
limits: {{furnace: {{temperature: {{max: {lab} degC}}}}}}
""")
    (tmp_path / "plan.yaml").write_text(f"""
labloop: 1
campaign: warm
lab: lab.yaml
parameters: {{x: {{range: [50, 60], unit: degC}}}}
outcomes: {{y: {{goal: maximize, from: told}}}}
trial: [furnace.hold: {{temperature: $x, tolerance: 2 K, time: 10 s}}]
design: {{initial: {{method: random, trials: 1}}}}
budget: {{trials: 1}}
limits: {{furnace: {{temperature: {{max: {campaign} degC}}}}}}
""")
    parts = Parts(planner=lambda spec, path: InlinePlanner(spec, path))
    order = session.Order(campaign=tmp_path / "plan.yaml", run=tmp_path / "run", virtual=True)
    assert session.begin(order, parts=parts) == code
    state = see(tmp_path / "run").state
    notes = [note.text for _, note in state.notes]
    said = "furnace was set up: SP.HI (register 111): 1200 degC -> 900 degC"
    assert notes == ([said] if limits == "set" else [])
    assert ("SP.HI (register 111) = 1200 degC is above the 900 degC" in state.reason) == (code == 3), state.reason
    assert bool(state.steps) == (code == 0) and state.safe


def set_to(low, high, **more):
    """A controller whose limits are to be the lab's, told what the lab allows."""
    it = Rig(E3216, control="remote", setpoint_limits="set", **more)
    it.driver.open()
    it.driver.limits = {"temperature": (low, high)}
    return it


@pytest.mark.parametrize(
    ("low", "high", "limits_c", "worn", "said"),
    [
        (None, 900.0, [900.0, 0.0], 1, "SP.HI (register 111): 1200 degC -> 900 degC"),
        (20.0, None, [1200.0, 20.0], 1, "SP.LO (register 112): 0 degC -> 20 degC"),
        (
            20.04, 900.06, [900.0, 20.1], 2,
            "SP.HI (register 111): 1200 degC -> 900 degC; SP.LO (register 112): 0 degC -> 20.1 degC",
        ),
        (0.0, 1200.0, [1200.0, 0.0], 0, ""),
        (-9000.0, 9000.0, [1200.0, 0.0], 0, ""),
    ],
)  # fmt: skip
def test_own_limits_are_set_by_one_write_to_each_that_differs_and_never_again(low, high, limits_c, worn, said):
    it = set_to(low, high)
    it.driver.configure()
    assert (it.device.limits_c, it.device.worn, it.driver.changed(), it.driver.changed()) == (limits_c, worn, said, "")
    writes = [one.data[3] for one in it.port.traffic if one.kind == "sent" and one.data[1] == 6]
    assert writes == sorted(set(writes)) and len(writes) == worn
    it.driver.configure()
    allowed, it.driver = it.driver.limits, it.restarted()
    it.driver.open()
    it.driver.limits = allowed
    it.driver.configure()
    assert (it.device.worn, it.driver.changed()) == (worn, "")


def test_one_that_only_stops_it_sets_no_limits():
    it = set_to(None, 900.0)
    it.driver.read()
    it.driver.stop()
    assert (it.device.worn, it.device.limits_c) == (0, [1200.0, 0.0])


def test_limits_that_lie_beside_each_other_are_set_in_the_order_that_is_allowed():
    it = set_to(20.0, 50.0)
    it.device.limits_c = [900.0, 100.0]
    it.driver.configure()
    assert (it.device.limits_c, it.device.worn) == ([50.0, 20.0], 2)


def test_where_the_first_was_set_before_a_crash_only_the_other_is():
    it = set_to(20.0, 900.0)
    it.device.limits_c[0] = 900.0
    it.driver.configure()
    assert (it.device.limits_c, it.device.worn) == ([900.0, 20.0], 1)


def test_a_limit_that_does_not_take_is_said_and_nothing_goes_on():
    it = set_to(None, 900.0)
    receive = it.device._write
    it.device._write = lambda number, value, now_s: None if number == 111 else receive(number, value, now_s)
    with pytest.raises(
        InstrumentFault, match=r"SP\.HI \(register 111\) was set to 900 degC, .* and stands at 1200"
    ) as caught:
        it.driver.configure()
    assert caught.value.kind == "setup"
    beyond = set_to(None, 1500.0)
    with pytest.raises(
        InstrumentFault, match=r"SP\.HI \(register 111\) cannot be set to 1500.*out of its range.*Correct"
    ):
        beyond.driver.configure()
    assert beyond.device.worn == 0


def test_a_lab_that_limits_nothing_has_nothing_to_be_set():
    it = set_to(None, None)
    with pytest.raises(InstrumentFault, match="limits no temperature of it, so there is nothing to set"):
        it.driver.configure()


def lossy(it, register):
    """The answer to each write of this register is lost."""
    (line,) = it.bench.lines.values()
    receive = line.receive

    def deaf(data, now_s):
        answer = receive(data, now_s)
        return b"" if data[1:4] == bytes([6, 0, register]) else answer

    line.receive = deaf


def test_a_write_whose_answer_was_lost_is_noted_and_the_stop_keeps_to_the_new_limit():
    it = set_to(40.0, None)
    lossy(it, 112)
    with pytest.raises(LinkTimeout):
        it.driver.configure()
    assert it.device.limits_c == [1200.0, 40.0]
    it.driver.stop()
    assert it.device.remote_c == 40.0
    it.driver.configure()
    assert it.driver.changed() == "SP.LO (register 112): 0 degC -> 40 degC" and it.device.worn == 1


def test_a_least_temperature_that_would_make_off_hot_is_refused():
    it = set_to(200.0, 900.0)
    with pytest.raises(InstrumentFault, match=r"a stop could set it no lower.*50 degC harmless") as caught:
        it.driver.configure()
    assert caught.value.kind == "setup" and it.device.worn == 0
    moved = set_to(40.0, None)
    write = moved.device._write
    moved.device._write = lambda *said: (write(*said), moved.device.setpoints_c.__setitem__(0, 60.0))
    with pytest.raises(InstrumentFault, match="it falls back to SP1 = 60 degC"):
        moved.driver.configure()


def test_a_limit_that_no_register_holds_is_named():
    it = set_to(None, -5000.0)
    said = r"SP\.HI \(register 111\) holds -3276\.7 degC to 3276\.7 degC.*-5000 degC"
    with pytest.raises(InstrumentFault, match=said):
        it.driver._limits.settle(None, -5000.0, 50.0)  # configure() has refused what it falls back to before


def test_a_programme_is_reset_though_the_lowest_setpoint_is_refused():
    it = Rig(E3216, control="remote").ready()
    it.device.limits_c[1] = 30.0
    it.device.program.state = 1
    with pytest.raises(InstrumentFault):
        it.driver.stop()
    assert it.device.program.state == 0


def test_at_its_limit_a_controller_that_shows_tenths_may_hold():
    """One that shows none would be told 38 degC: which it is, only the lab file can say before it is opened."""
    wanted = {"temperature": Amount(37.5, "degC"), "tolerance": Amount(1.0, "K"), "time": Amount(9.0, "s")}
    furnace = {"driver": "drivers.eurotherm:E3216", "port": "serial:///dev/furnace"}
    for says, refused in (({}, 1), ({"decimals": 0}, 1), ({"decimals": 1}, 0), ({"decimals": 2}, 0)):
        lab = {"labloop": 1, "instruments": {"it": furnace | says}, "limits": ["it.temperature <= 37.5 degC"]}
        assert len(Envelope(lab_from_dict(lab, HOUSE)).complaints("it", "hold", wanted)) == refused, says
    Rig(E3216, control="remote", decimals=1).driver.open()
    with pytest.raises(InstrumentFault, match=r"decimals it shows: 1 .*Write decimals: 1"):
        Rig(E3216, simulation={"decimals": 1}, control="remote", decimals=2).driver.open()
    with pytest.raises(SpecError, match="decimals = True is none of 0, 1, 2"):
        E3216.declare({"decimals": True})
