"""A network of namespaces for replicas and their database: the kernel drops and slows what it is told to."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from itertools import count

import pytest

from tests.system.faults import need, need_root

#: Nothing else here is in this network.
_SUBNET = "198.18.200"
#: Networks of this run: what was removed may linger in the kernel for a moment.
_numbers = count(1)


@dataclass(frozen=True)
class Host:
    """A namespace with one address."""

    name: str
    address: str

    @property
    def wrap(self) -> list[str]:
        """A command that runs another one in there, with the same process id."""
        return ["ip", "netns", "exec", self.name]

    def run(self, *command: str) -> None:
        """Run a command in there."""
        _run(*self.wrap, *command)


class Network:
    """Hosts on one switch, to which this process belongs too; as a context it is removed at the end.

    The switch has a namespace of its own, so that no firewall of this machine sees what passes it.
    """

    def __init__(self) -> None:
        number = next(_numbers)
        self._prefix = f"router-{os.getpid()}-{number}"
        self._switch = f"{self._prefix}-switch"
        self._uplink = f"rt{os.getpid()}x{number}"
        self.hosts: list[Host] = []
        self._slowed: list[Host] = []

    def __enter__(self) -> Network:
        need_root("a network of namespaces")
        need("ip", "iptables", "tc")
        made = subprocess.run(
            ["ip", "netns", "add", self._switch], capture_output=True, text=True, check=False
        )
        if made.returncode:
            pytest.skip(f"this machine lets nobody make a network namespace: {made.stderr.strip()}")
        try:
            self._connect_this_process()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in [*(host.name for host in self.hosts), self._switch]:
            _run("ip", "netns", "delete", name)
        subprocess.run(["ip", "link", "delete", self._uplink], capture_output=True, check=False)

    def add(self, name: str) -> Host:
        """Add a host."""
        number = len(self.hosts) + 2
        host = Host(f"{self._prefix}-{name}", f"{_SUBNET}.{number}")
        _run("ip", "netns", "add", host.name)
        self.hosts.append(host)
        port = f"port{number}"
        _run(
            "ip", "-n", self._switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", host.name
        )
        _run("ip", "-n", self._switch, "link", "set", port, "master", "switch0", "up")
        _run("ip", "-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run("ip", "-n", host.name, "link", "set", device, "up")
        return host

    # Faults

    def part(self, one: Host, other: Host) -> None:
        """Let nothing through between two hosts."""
        self.drop(one, other)
        self.drop(other, one)

    def drop(self, source: Host, to: Host) -> None:
        """Let nothing through from one host to another."""
        _block(source, to)

    def lose(self, one: Host, other: Host, share: float) -> None:
        """Lose a share of the packets between two hosts, of both directions, by chance."""
        chance = ["-m", "statistic", "--mode", "random", "--probability", str(share)]
        _block(one, other, *chance)
        _block(other, one, *chance)

    def slow(self, host: Host, rate: str) -> None:
        """Send from a host no more than that: ``256kbit`` in a second."""
        shape = ["tbf", "rate", rate, "burst", "8kb", "latency", "200ms"]
        _run("tc", "-n", host.name, "qdisc", "add", "dev", "eth0", "root", *shape)
        self._slowed.append(host)

    def heal(self) -> None:
        """Let everything through again."""
        for host in self.hosts:
            host.run("iptables", "-w", "-F")
        while self._slowed:
            _run("tc", "-n", self._slowed.pop().name, "qdisc", "delete", "dev", "eth0", "root")

    def _connect_this_process(self) -> None:
        _run("ip", "-n", self._switch, "link", "add", "switch0", "type", "bridge")
        _run("ip", "-n", self._switch, "link", "set", "switch0", "up")
        _run("ip", "link", "add", self._uplink, "type", "veth", "peer", "port1", "netns", self._switch)
        _run("ip", "-n", self._switch, "link", "set", "port1", "master", "switch0", "up")
        _run("ip", "address", "add", f"{_SUBNET}.1/24", "dev", self._uplink)
        _run("ip", "link", "set", self._uplink, "up")


def _block(source: Host, to: Host, *when: str) -> None:
    to.run("iptables", "-w", "-A", "INPUT", "-s", source.address, *when, "-j", "DROP")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
