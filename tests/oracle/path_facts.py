"""What the path analysis takes for granted of the kernel, asked one by one: each case loads rules of nft, sends packets and reads counters.

    python -m tests.oracle.path_facts

The process moves into a namespace of its own (tests/oracle/path_network.py says what hangs on it), which dies with it.
"""

from __future__ import annotations

import errno
import json
import re
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from tests.oracle.iptables_kernel import SO_MARK, SO_RCVMARK, forget_connections
from tests.oracle.path_network import Flow, Network, run

Case = Callable[[Network], None]
_CLIENT, _SERVER = ("client", "10.1.0.2"), ("server", "10.2.0.2")
_ROUTER = ("router", "10.1.0.1")


def load(*chains: str, family: str = "ip", keep: bool = False) -> None:
    """Chains, each as ``NAME: TYPE HOOK PRIORITY | RULE | RULE``; ``count NAME`` in a rule is a counter."""
    text = "" if keep else "flush ruleset\n"
    names = dict.fromkeys(re.findall(r"count (\w+)", " ".join(chains)))
    text += f"table {family} {'u' if keep else 't'} {{\n" + "".join(f" counter n_{n} {{ }}\n" for n in names)
    for chain in chains:
        head, *rules = (part.strip() for part in chain.split("|"))
        name, _, hook = head.partition(": ")
        kind, at, priority = hook.split()
        body = "\n  ".join(r.replace("count ", "counter name n_") for r in rules)
        text += f" chain {name} {{\n  type {kind} hook {at} priority {priority};\n  {body}\n }}\n"
    run("nft", "-f", "-", text=text + "}\n")
    forget_connections()


def counts() -> dict[str, int]:
    """Packets by the name of the counter."""
    listed = json.loads(run("nft", "-j", "list", "counters"))["nftables"]
    return {entry["counter"]["name"][2:]: entry["counter"]["packets"] for entry in listed if "counter" in entry}


def send(
    network: Network, source: tuple[str, str], target: tuple[str, str], packets: int = 1, answers: int = 0, mark: int = 0
) -> list[int]:
    """Packets of one connection, then answers; the marks of those that arrived."""
    marks = []
    with (
        network.socket(target[0], socket.SOCK_DGRAM, (target[1], 5001)) as receiver,
        network.socket(source[0], socket.SOCK_DGRAM, (source[1], 6001)) as sender,
    ):
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
        sender.connect((target[1], 5001))
        for _ in range(packets):
            sender.send(b"x")
            _, extra, _, back = receiver.recvmsg(16, 64)
            marks += [struct.unpack("=I", data[:4])[0] for level, kind, data in extra if (level, kind) == (socket.SOL_SOCKET, SO_MARK)]
        for _ in range(answers):
            receiver.sendto(b"y", back)
            sender.recv(16)
    return marks


def loopback_keeps_mark_and_connection(network: Network) -> None:
    """net/ipv4/ip_output.c, drivers/net/loopback.c: the packet that is received is the one that was sent."""
    load(
        "o: filter output 0 | oifname lo meta mark set 5 ct mark set 7",
        "p: filter prerouting 0 | iifname lo meta mark 5 count mark | iifname lo ct mark 7 count connection",
        "i: filter input 0 | meta mark 5 ct mark 7 count both",
    )
    send(network, ("router", "127.0.0.2"), ("router", "127.0.0.3"))
    send(network, _ROUTER, ("router", "10.2.0.1"))
    assert counts() == {"mark": 2, "connection": 2, "both": 2}


def loopback_is_mapped_where_it_leaves_only(network: Network) -> None:
    """net/netfilter/nf_nat_core.c nf_nat_inet_fn: output and postrouting have settled both ends when prerouting and input come."""
    load(
        "o: nat output -100 | count output",
        "q: nat postrouting 100 | count postrouting",
        "p: nat prerouting -100 | count prerouting",
        "i: nat input 100 | count input",
        "t: filter input 0 | ct state new",
    )
    send(network, ("router", "127.0.0.2"), ("router", "127.0.0.3"), 2, 2)
    assert counts() == {"output": 1, "postrouting": 1, "prerouting": 0, "input": 0}
    load("p: nat prerouting -100 | count prerouting", "i: nat input 100 | count input", "t: filter input 0 | ct state new")
    send(network, ("router", "127.0.0.2"), ("router", "127.0.0.3"), 2, 2)
    assert counts() == {"prerouting": 0, "input": 0}


def loopback_is_routed_where_it_leaves_only(network: Network) -> None:
    """drivers/net/loopback.c loopback_xmit keeps the route, and net/ipv4/ip_input.c ip_rcv_finish_core looks for none where one is."""
    run("ip", "rule", "add", "priority", "100", "table", "local")
    run("ip", "rule", "add", "priority", "90", "fwmark", "5", "prohibit")
    run("ip", "rule", "del", "priority", "0")
    load("p: filter prerouting 0 | udp dport 5001 meta mark set 5", "i: filter input 0 | udp dport 5001 count arrived")
    try:
        send(network, ("router", "127.0.0.2"), ("router", "127.0.0.3"))
        assert counts() == {"arrived": 1}
        with network.socket("client", socket.SOCK_DGRAM, ("10.1.0.2", 6001)) as sender:
            sender.connect(("10.1.0.1", 5001))
            sender.send(b"x")
            refused = 0
            try:
                sender.recv(16)
            except OSError as error:
                refused = error.errno or 0
        assert refused == errno.EHOSTUNREACH, "a packet from a device was not asked"
        assert counts() == {"arrived": 1}
    finally:
        run("ip", "rule", "add", "priority", "0", "table", "local")
        run("ip", "rule", "del", "priority", "90")
        run("ip", "rule", "del", "priority", "100")


def nat_asks_its_chains_once(network: Network) -> None:
    """The same function: before an answer comes, a second packet is new, too, and passes without them."""
    load("p: nat prerouting -100 | count chain", "f: filter forward 0 | ct state new count new | ct state established count established")
    send(network, _CLIENT, _SERVER, 3, 1)
    assert counts() == {"chain": 1, "new": 3, "established": 1}


def nat_chains_need_a_user_of_connections(network: Network) -> None:
    """nf_ct_netns_get: a chain of type nat alone does not make the namespace track connections."""
    load("p: nat prerouting -100 | count chain")
    send(network, _CLIENT, _SERVER)
    assert counts() == {"chain": 0}


def a_tunnel_keeps_the_mark_and_drops_the_connection(network: Network) -> None:
    """net/core/skbuff.c skb_scrub_packet, called by iptunnel_xmit and by vxlan_rcv with xnet false."""
    load(
        "o: filter output 0 | oifname vx0 meta mark set 5 ct mark set 7",
        "n: filter output 1 | udp dport 4789 meta mark 5 count out | udp dport 4789 ct mark 7 count held",
        "q: filter postrouting 0 | oifname out0 udp dport 4789 meta mark 5 count after",
        "p: filter prerouting 0 | udp dport 4789 meta mark set 6 ct mark set 8",
        "i: filter input 0 | iifname vx0 meta mark 6 count in | iifname vx0 ct mark 8 count kept | iifname vx0 ct mark 7 count own",
    )
    send(network, ("router", "10.9.0.1"), ("server", "10.9.0.2"), 1, 1)
    assert counts() == {"out": 1, "held": 0, "after": 1, "in": 1, "kept": 0, "own": 1}


def another_namespace_sees_no_mark(network: Network) -> None:
    """net/core/dev.c __dev_forward_skb: scrubbed with xnet true."""
    load("o: filter postrouting 0 | meta mark set 5 count sent")
    assert send(network, _CLIENT, _SERVER) == [0]
    assert counts() == {"sent": 1}
    load("i: filter input 0 | meta mark set 5")
    assert send(network, _CLIENT, _ROUTER) == [5], "or nothing was asked"


def what_is_not_tracked_has_no_connection(network: Network) -> None:
    """net/netfilter/nft_ct.c, xt_connmark.c: after notrack nothing is saved, restored or matched; the state is untracked."""
    load(
        "r: filter prerouting -300 | notrack",
        "p: filter prerouting 0 | meta mark set 5 ct mark set meta mark | ct mark 5 count saved | ct mark 0 count zero",
        "f: filter forward 0 | ct state untracked count untracked | ct state new count new | meta mark set ct mark count restored",
        "n: nat postrouting 100 | count nat",
    )
    send(network, _CLIENT, _SERVER)
    assert counts() == {"saved": 0, "zero": 0, "untracked": 1, "new": 0, "restored": 0, "nat": 0}
    legacy = "*mangle\n:FORWARD ACCEPT [0:0]\n{0}COMMIT\n"
    rules = ("MARK --set-xmark 0x5", "CONNMARK --restore-mark", "CONNMARK --save-mark")
    run("iptables-legacy-restore", text=legacy.format("".join(f"-A FORWARD -j {r}\n" for r in rules)))
    load("r: filter prerouting -300 | notrack", "q: filter postrouting 0 | meta mark 5 count kept", "z: filter input 0 | ct state new")
    send(network, _CLIENT, _SERVER)
    run("iptables-legacy-restore", text=legacy.format(""))
    assert counts() == {"kept": 1}


def of_equal_priorities_the_last_runs_first(network: Network) -> None:
    """net/netfilter/core.c nf_hook_entries_grow."""
    load("a: filter forward 0 | meta mark set 5", "b: filter forward 0 | meta mark 5 count second")
    send(network, _CLIENT, _SERVER)
    assert counts() == {"second": 0}
    load("b: filter forward 0 | meta mark 5 count second", "a: filter forward 0 | meta mark set 5")
    send(network, _CLIENT, _SERVER)
    assert counts() == {"second": 1}


def a_chain_of_type_route_looks_again(network: Network) -> None:
    """net/netfilter/nft_chain_route.c: where the mark changed; a chain of type filter does not."""
    run("ip", "rule", "add", "priority", "90", "fwmark", "5", "table", "99")
    for kind in ("filter", "route"):
        load(f"o: {kind} output -150 | meta mark set 5", "q: filter postrouting 0 | meta rtclassid 9 count found")
        send(network, ("router", "10.2.0.1"), _SERVER)
        assert counts() == {"found": int(kind == "route")}
    run("ip", "rule", "del", "priority", "90")


def an_expected_connection_inherits_the_mark(network: Network) -> None:
    """net/netfilter/nf_conntrack_core.c init_conntrack: the whole mark of its master, when it begins."""
    helper = 'ct helper t {\n  type "tftp" protocol udp\n }'
    chain = 'chain c {\n  type filter hook prerouting priority -190;\n  udp dport 69 ct helper set "t" ct mark set 7\n }'
    run("nft", "-f", "-", text=f"flush ruleset\ntable ip h {{\n {helper}\n {chain}\n}}\n")
    load("f: filter forward 0 | ct state related ct mark 7 count inherited | ct state related count related", keep=True)
    network.expected(Flow("client", "10.1.0.2", "server", "10.2.0.2"))
    # Two answers, and what is sent back until the first has been answered is none: related is the state of the first packets.
    found = counts()
    assert found["related"] == found["inherited"] > 0, found


def an_error_belongs_to_the_connection(network: Network) -> None:
    """net/netfilter/nf_conntrack_proto_icmp.c: related, with the entry of the packet it is about."""
    load(
        "p: filter prerouting 0 | udp dport 5999 ct mark set 7",
        "f: filter forward 0 | meta l4proto icmp ct state related ct mark 7 count error",
    )
    network.refused(Flow("client", "10.1.0.2", "server", "10.2.0.2"))
    assert counts() == {"error": 2}


def answers_without_a_socket_reflect(network: Network) -> None:
    """net/ipv4/icmp.c IP4_REPLY_MARK."""
    setting = Path("/proc/sys/net/ipv4/fwmark_reflect")
    for value in (0, 1):
        setting.write_text(str(value))
        load(
            "p: filter prerouting 0 | udp dport 5999 meta mark set 5", "o: filter output 0 | meta l4proto icmp meta mark 5 count reflected"
        )
        network.refused(Flow("client", "10.1.0.2", "router", "10.1.0.1"))
        assert counts() == {"reflected": 2 * value}
    setting.write_text("0")


def accepted_sockets_take_the_mark(network: Network) -> None:
    """include/net/inet_sock.h inet_request_mark: of the connection's first packet, where tcp_fwmark_accept says so."""
    setting = Path("/proc/sys/net/ipv4/tcp_fwmark_accept")
    for value in (0, 1):
        setting.write_text(str(value))
        load("p: filter prerouting 0 | tcp flags syn meta mark set 5", "o: filter output 0 | meta mark 5 count answers")
        with network.socket("router", socket.SOCK_STREAM, ("10.1.0.1", 5001 + value)) as listener:
            listener.listen()
            with network.socket("client", socket.SOCK_STREAM, ("10.1.0.2", 6001 + value)) as client:
                client.connect(("10.1.0.1", 5001 + value))
                accepted, _ = listener.accept()
                with accepted:
                    assert accepted.getsockopt(socket.SOL_SOCKET, SO_MARK) == 5 * value
        assert (counts()["answers"] > 0) is bool(value)
    setting.write_text("0")


def bridged_packets_meet_ip_hooks_where_told(network: Network) -> None:
    """net/bridge/br_netfilter_hooks.c br_nf_ops: within the bridge's prerouting and forward hooks, after its postrouting chains."""
    setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    for value in (0, 1):
        setting.write_text(str(value))
        load(
            "p: filter prerouting -300 | meta mark set meta mark or 0x1 meta mark 0x1 count pre",
            "f: filter forward 0 | meta mark 0x1 count forward | meta mark set meta mark or 0x2",
            "q: filter postrouting 0 | meta mark 0x7 count post",
            "i: filter input 0 | count input",
        )
        load(
            "b: filter forward 100 | ip saddr 10.3.0.2 meta mark 0x3 count behind",
            "c: filter postrouting 300 | ip saddr 10.3.0.2 meta mark set meta mark or 0x4",
            family="bridge",
            keep=True,
        )
        send(network, ("left", "10.3.0.2"), ("right", "10.3.0.3"))
        assert counts() == {"pre": value, "forward": value, "behind": value, "post": value, "input": 0}
    setting.write_text("0")


CASES: tuple[Case, ...] = (
    loopback_keeps_mark_and_connection,
    loopback_is_mapped_where_it_leaves_only,
    loopback_is_routed_where_it_leaves_only,
    nat_asks_its_chains_once,
    nat_chains_need_a_user_of_connections,
    a_tunnel_keeps_the_mark_and_drops_the_connection,
    another_namespace_sees_no_mark,
    what_is_not_tracked_has_no_connection,
    of_equal_priorities_the_last_runs_first,
    a_chain_of_type_route_looks_again,
    an_expected_connection_inherits_the_mark,
    an_error_belongs_to_the_connection,
    answers_without_a_socket_reflect,
    accepted_sockets_take_the_mark,
    bridged_packets_meet_ip_hooks_where_told,
)


def main() -> int:
    """Prints the cases that hold, and of the others why not."""
    network = Network()
    found: dict[str, str] = {}
    for case in CASES:
        try:
            case(network)
            found[case.__name__] = ""
        except (AssertionError, OSError) as error:
            found[case.__name__] = f"{type(error).__name__} {error} {counts()}"
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
