"""What a 336 only keeps and tells again, as its manual and its maker's client have it."""

INPUTS, OUTPUTS = "ABCD", "1234"
# What is only kept and told: command, what it is for, at first.
KEPT: dict[str, tuple[str, str]] = {
    "INTYPE": (INPUTS, "1,0,0,0,1"),
    "INNAME": (INPUTS, "               "),
    "INCRV": (INPUTS, "02"),
    "FILTER": (INPUTS, "0,08,02"),
    "HTRSET": (OUTPUTS, "1,2,+1.000,1"),
    "MODE": ("", "1"),
    "BRIGT": ("", "3"),
    "LEDS": ("", "1"),
    "LOCK": ("", "0,123"),
    "ALARM": (INPUTS, "0,+0.00000,+0.00000,+0.00000,0,0,1"),
    "DIOCUR": (INPUTS, "0"),
    "RELAY": ("12", "0,A,0"),
    "ANALOG": ("34", "1,1,+100.000,+0.00000,0"),
    "WARMUP": ("34", "0,+050.00"),
    "POLARITY": ("34", "0"),
    "DISPLAY": ("", "4,0,1"),
    "INTSEL": ("", "0"),
}
# The makers' own curves that are told by name (of the inputs: 2); the rest has none, and no curve tells its points.
CURVES = {1: "DT-470         ,STANDARD C,2,+475.000,1", 2: "DT-670         ,STANDARD C,2,+500.000,1"}
