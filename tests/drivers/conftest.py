"""Simulators on real ports, for the tests of drivers."""

from tests.served import serve_plan as serve_plan
