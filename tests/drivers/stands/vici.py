"""A selector valve that takes its time; of a valve that turns nobody can tell that it does."""

from tests.drivers.stand import Stand

STANDS = {
    "Actuator": Stand(
        port="serial:///dev/vici?baud=9600",
        simulator="simulators.vici:Actuator",
        options={"valve": {"water": 1, "acid": 4, "waste": 10}},
        simulation={"switching": "8 s"},
        act=("turn", {"position": ("acid", "")}),
        tells="cannot_tell",
        stopped="done",
        rests_s=10.0,
        proving={"switching": "0.5 s"},
    )
}
