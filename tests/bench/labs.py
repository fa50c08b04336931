"""Small labs for the tests: a folder with a lab file and drivers of its own, on ports that answer in process."""

import itertools
from pathlib import Path
from textwrap import dedent

from labloop.bench import InProcessLink, Port
from labloop.campaign.spec import read_lab
from tests.bench.lines import FakeTime, ScriptedLine, answers

_numbers = itertools.count()

TWO = """
    labloop: 1
    instruments:
      left:  {driver: "DRIVER:Box", port: "serial:///dev/a?baud=9600", size: 1, address: 1}
      right: {driver: "DRIVER:Box", port: "serial:///dev/a?baud=9600", address: 2}
      far:   {driver: "DRIVER:Box", port: "zmq+tcp://127.0.0.1:9?actor=N1.far"}
    safe_state:
      - left.off: {}
      - far.heat: {temperature: 20 degC}
"""

BOX = '''
    """A box that heats: what the tests drive."""

    from labloop.bench import *  # noqa: F403
    from tests.bench.lines import WordCodec


    class Box(Driver):
        """A box. Options: ``size``."""

        kind = "box"
        signals = (Signal(name="temperature", unit="degC"), Signal(name="wall", unit="degC"), Signal(name="word"))

        def __init__(self, exchange, **options):
            super().__init__(exchange, **options)
            self.codec = WordCodec()
            self.said = []

        @classmethod
        def declare(cls, options):
            refuse_unknown(options, ("size", "address"), "Box")
            return super().declare(options)

        @classmethod
        def complaint(cls, action, values, options):
            return "too hot for so long" if values.get("temperature_c", 0) * values.get("time_s", 0) > 1e6 else ""

        def open(self):
            self.said.append("open")
            return Identity(model=self.exchange(self.codec, "name?", 0.2))

        def configure(self):
            self.said.append("configure")

        @action(
            Setting(name="temperature", argument="temperature_c", unit="degC", low=0.0, high=200.0),
            Setting(name="time", argument="time_s", unit="s", low=1.0, high=1e6, default=1.0, required=False),
            act=True,
        )
        def heat(self, temperature_c, time_s):
            """Heat."""
            self.said.append(("heat", temperature_c))

        @action(Setting(name="volume", argument="volume_ul", unit="uL", low=2.0, high=100.0, zero=True), act=True,
                amount="volume")
        def push(self, volume_ul):
            """Push."""

        @action(Setting(name="mode", argument="mode", choices=("a", "b")))
        def turn(self, mode):
            """Turn."""

        @action()
        def off(self):
            """Switch off."""
            self.said.append("off")

        def progress(self, elapsed_s):
            return Progress(done=True)

        def stop(self):
            self.said.append("stop")
            self.exchange(self.codec, "stop", 20.0)
'''


def make_lab(folder: Path, text: str, **drivers: str):
    """A lab file with drivers; ``DRIVER`` in the text stands for the module of the box. Returns the LabSpec."""
    module = f"box_{next(_numbers)}"
    (folder / "drivers").mkdir(exist_ok=True)
    (folder / "drivers" / f"{module}.py").write_text(dedent(BOX))
    for name, source in drivers.items():
        (folder / "drivers" / f"{name}.py").write_text(dedent(source))
    path = folder / "lab.yaml"
    path.write_text(dedent(text).replace("DRIVER", f"drivers.{module}"))
    return read_lab(path)


def connect_scripted(script=None, opened=None):
    """A connect that gives in-process ports; ``opened`` collects the addresses asked for."""

    def connect(address: str) -> Port:
        if opened is not None:
            opened.append(address)
        return Port(InProcessLink(address, ScriptedLine(script or answers()), FakeTime()), inline=True)

    return connect
