"""matterlab-pumps drives our simulated XCalibur."""

import pytest
from matterlab_pumps import TecanXCPump

from drivers.cavro import XCalibur

LATE = 5  # tries: the client reads 50 ms after it has asked, whatever has come by then on a busy machine


def test_matterlab_pumps_drives_our_simulator(serve_stand):
    plan = serve_stand(XCalibur, speed=60.0, simulation={"after": "N1"})
    for last in range(LATE):
        try:
            drive(plan)
        except IndexError:  # its reading of an answer that was not there yet
            if last == LATE - 1:
                raise
        else:
            return


def drive(plan):
    it = TecanXCPump(
        com_port=plan.device("it"), address=0, syringe_volume=1e-3, num_valve_port=9, init_valve=1, out_valve=9
    )
    assert (it.report_top_speed(), it.report_start_speed(), it.port, it.volume) == (1000, 800, 9, 0.0)
    it.port = 4
    assert it.report_valve_number() == 4
    it.volume = 0.5
    assert it.report_plunger_absolute_position() == 12_000
    it.volume = 0.25
    assert it.volume == pytest.approx(0.25)
    it._execute_pump("A99999")
    with pytest.raises(OSError, match="Invalid Operand"):
        it.move_plunger(24_000)
