"""Broken lab files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.spec import lab_from_dict, read_lab

BAD: list[tuple[str, str, str, str, list[str]]] = [
    ("instruments:", "instrument:", "", "3:1", ["unknown key", "Did you mean instruments?"]),
    ("driver:", "drvier:", "", "4:3", ["pump_agno3.driver: is missing"]),
    ('"drivers.new_era:NE1000"', '"drivers.new_era"', "", "4:26", ["module.path:Class"]),
    ("simulator:", "simulater:", "", "4:17", ["simulater", "Did you mean simulator?"]),
    ("serial:///", "serail:///", "", "4:98", ["must be an address", "Did you mean serial?"]),
    ("serial:///", "serial:/", "", "4:98", ["two strokes"]),
    ("zmq+tcp://127.0.0.1:12300", "zmq+tcp://127.0.0.1:99999", "", "7:69", ["is no address"]),
    ("stock: 10 mL", "stock: -3 mL", "", "4:179", ["not below 0"]),
    ("stock: 10 mL", "stock: 10", "", "4:179", ["with its unit"]),
    ("stock: 10 mL", "stock: 10 mLL", "", "4:179", ["is not a unit"]),
    ("address: 1", "address: 0", "", "5:3", ["same port and address"]),
    ("max: 80 degC", "mx: 80 degC", "", "10:19", ["unknown key", "Did you mean max?"]),
    ("max: 80 degC", "max: 80 degC, min: 90 degC", "", "10:18", ["min is above max"]),
    ("max: 80 degC", "max: 80 degC, min: 9 mL", "", "10:18", ["a volume"]),
    ("stale_after: 5 s", "stale_after: 5", "", "11:57", ["needs a unit"]),
    ("  hotplate:\n    temp", "  hotplat:\n    temp", "", "10:18", ["hotplat is no instrument", "hotplate?"]),
    ("hotplate.off", "hotplat.off", "", "13:5", ["hotplat is no instrument", "hotplate?"]),
    ("hotplate.off: {}", "hotplate.set: {temperature: $q}", "", "13:33", ["belongs to no trial"]),
    ("agnp.csv", "nofile.csv", "", "14:9", ["there is no file"]),
    ("speed: 60", "speed: 0", "", "15:21", ["above 0"]),
    ("", "", "keep: [stirer]\n", "16:8", ["stirer is no instrument"]),
    ("", "", "samples: piplined\n", "16:10", ["Did you mean pipelined?"]),
    ("", "", "simulated: yes\n", "16:12", ["true or false"]),
    ("", "", "pause: {hold: 30}\n", "16:15", ["needs a unit"]),
    ("", "", "pause: {hold: 30 min, then: go}\n", "16:29", ["must be"]),
    ("", "", "notify: {phone: {}}\n", "16:17", ["either env or file"]),
    ("", "", "notify: {phone: {env: A, file: b}}\n", "16:17", ["either env or file"]),
    ("", "", "notify: {phone: {env: A B}}\n", "16:23", ["no name of an environment variable"]),
    ("", "", "notify: {phone: {env: A, about: [halt]}}\n", "16:34", ["must be one of", "Did you mean halted?"]),
    ("", "", "notify: {phone: {env: A, about: []}}\n", "16:33", ["names nothing"]),
    ("", "", "notify: {a b: {env: A}}\n", "16:10", ["is no name"]),
]


@pytest.mark.parametrize(("old", "new", "add", "where", "words"), BAD, ids=[f"{b[1] or b[2]!r}"[:40] for b in BAD])
def test_each_complaint_names_place_value_rule_and_way_out(
    broken: Callable[..., Path], old: str, new: str, add: str, where: str, words: list[str]
) -> None:
    path = broken("lab.yaml", *([(old, new)] if old else []), add=add)
    with pytest.raises(SpecError) as raised:
        read_lab(path)
    text = "\n".join(raised.value.complaints)
    assert any(line.startswith(f"{path}:{where}: ") for line in raised.value.complaints), text
    for word in words:
        assert word in text


def test_a_lab_keeps_the_drivers_own_keys_as_written(folder: Path) -> None:
    lab = read_lab(folder / "lab.yaml")
    pump = lab.instruments["pump_agno3"]
    assert pump.options == {"address": 0, "syringe": {"volume": "10 mL"}}
    assert str(pump.stock) == "10 mL"
    assert lab.limits["hotplate"]["plate"].stale_after_s == 5
    assert str(lab.limits["hotplate"]["plate"].rate) == "10 K/min"
    assert lab.safe_state[0].steps[0].name == "hotplate.off"
    assert lab.speed == 60 and not lab.simulated and not lab.pipelined
    assert set(lab.files) == {"agnp.csv"}


def test_the_root_is_the_nearest_folder_above_with_drivers(tmp_path: Path) -> None:
    (tmp_path / "drivers").mkdir()
    deep = tmp_path / "campaigns" / "deep"
    deep.mkdir(parents=True)
    assert lab_from_dict({"instruments": {"p": {"driver": "a:B"}}}, deep).root == tmp_path.resolve()
    (deep / "simulators").mkdir()
    assert lab_from_dict({"instruments": {"p": {"driver": "a:B"}}}, deep).root == deep.resolve()


def test_dependent_limits_stand_beside_those_that_always_hold() -> None:
    lab = lab_from_dict(
        {
            "instruments": {"hotplate": {"driver": "a:B"}},
            "limits": [
                {"hotplate": {"temperature": {"max": "120 degC"}}},
                "hotplate.temperature <= 80 degC when solvent == DCM",
                "5 degC <= hotplate.temperature",
            ],
        }
    )
    (dependent,) = [limit for limit in lab.limits_written if limit.when is not None]
    assert (dependent.instrument, dependent.name, str(dependent.max)) == ("hotplate", "temperature", "80 degC")
    assert str(dependent.when) == "solvent == DCM"
    always = lab.limits["hotplate"]["temperature"]
    assert (str(always.min), str(always.max)) == ("5 degC", "120 degC")


@pytest.mark.parametrize("written", [
    "'slack://tokenA/tokenB'", "{phone: 'slack://tokenA/tokenB'}", "{phone: ['slack://tokenA']}",
    "{phone: {url: 'json://ann:tokenA@host'}}", "{phone: {env: 'slack://tokenA'}}", "[{to: 'slack://tokenA'}]",
])  # fmt: skip
def test_an_address_in_the_file_is_refused_and_never_shown(written: str, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(f"labloop: 1\ninstruments: {{a: {{driver: 'd.x:X'}}}}\nnotify: {written}\n")
    with pytest.raises(SpecError) as refused:
        read_lab(file)
    said = str(refused.value)
    assert "an address stands here" in said and "{env: LABLOOP_PHONE}" in said
    assert "tokenA" not in said
