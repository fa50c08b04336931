"""Which addresses cannot be reached from another machine."""

import ipaddress


def is_local(host: str) -> bool:
    """Whether only this machine can reach ``host``. Nothing is looked up: a name other than localhost is not local."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
