# Felix with two workloads, in the releases from 3.30 on: accept 0x10000, pass 0x20000, drop 0x40000, scratch 0x80000.
# Each of its rules has a hash in a comment; "@" stands for it below.
felix() {
    local line number=0
    while IFS= read -r line; do
        number=$((number + 1))
        printf '%s\n' "${line/@/-m comment --comment \"cali:$(printf 'Qx%014d' $number)\"}"
    done
}
for iptables in iptables-nft ip6tables-nft; do
    felix <<'RULES' | $iptables-restore
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:cali-OUTPUT - [0:0]
:cali-PREROUTING - [0:0]
:cali-from-host-endpoint - [0:0]
:cali-rpf-skip - [0:0]
:cali-to-host-endpoint - [0:0]
-A PREROUTING @ -j cali-PREROUTING
-A OUTPUT @ -j cali-OUTPUT
-A cali-PREROUTING @ -j MARK --set-xmark 0x0/0xf0000
-A cali-PREROUTING -i cali+ @ -j MARK --set-xmark 0x80000/0x80000
-A cali-PREROUTING @ -m mark --mark 0x80000/0x80000 -m rpfilter --validmark --invert -j cali-rpf-skip
-A cali-PREROUTING @ -m mark --mark 0x80000/0x80000 -m rpfilter --validmark --invert -j DROP
-A cali-PREROUTING @ -m mark --mark 0x0/0x80000 -j cali-from-host-endpoint
-A cali-PREROUTING @ -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT @ -j MARK --set-xmark 0x0/0xf0000
-A cali-OUTPUT @ -j cali-to-host-endpoint
-A cali-OUTPUT @ -m mark --mark 0x10000/0x10000 -j ACCEPT
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:cali-POSTROUTING - [0:0]
:cali-PREROUTING - [0:0]
:cali-to-host-endpoint - [0:0]
:cali-from-host-endpoint - [0:0]
-A PREROUTING @ -j cali-PREROUTING
-A POSTROUTING @ -j cali-POSTROUTING
-A cali-PREROUTING @ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-PREROUTING @ -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-PREROUTING @ -j cali-from-host-endpoint
-A cali-PREROUTING @ -m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-POSTROUTING @ -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-POSTROUTING @ -j MARK --set-xmark 0x0/0xf0000
-A cali-POSTROUTING @ -m conntrack --ctstate DNAT -j cali-to-host-endpoint
-A cali-POSTROUTING @ -m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j RETURN
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:cali-FORWARD - [0:0]
:cali-INPUT - [0:0]
:cali-OUTPUT - [0:0]
:cali-from-host-endpoint - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-fw-cali4b90c1e27fd - [0:0]
:cali-pri-kns.orchard - [0:0]
:cali-pro-kns.orchard - [0:0]
:cali-to-host-endpoint - [0:0]
:cali-to-wl-dispatch - [0:0]
:cali-tw-cali4b90c1e27fd - [0:0]
:cali-wl-to-host - [0:0]
-A INPUT @ -j cali-INPUT
-A FORWARD @ -j cali-FORWARD
-A FORWARD @ -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A FORWARD @ -j MARK --set-xmark 0x10000/0x10000
-A OUTPUT @ -j cali-OUTPUT
-A cali-FORWARD @ -j MARK --set-xmark 0x0/0xe0000
-A cali-FORWARD @ -m mark --mark 0x0/0x10000 -j cali-from-host-endpoint
-A cali-FORWARD -i cali+ @ -j cali-from-wl-dispatch
-A cali-FORWARD -o cali+ @ -j cali-to-wl-dispatch
-A cali-INPUT -i cali+ @ -g cali-wl-to-host
-A cali-INPUT @ -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-INPUT @ -j MARK --set-xmark 0x0/0xf0000
-A cali-INPUT @ -j cali-from-host-endpoint
-A cali-INPUT @ -m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT @ -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT -o cali+ @ -j RETURN
-A cali-OUTPUT @ -j MARK --set-xmark 0x0/0xf0000
-A cali-OUTPUT @ -m conntrack ! --ctstate DNAT -j cali-to-host-endpoint
-A cali-OUTPUT @ -m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-from-wl-dispatch -i cali4b90c1e27fd @ -g cali-fw-cali4b90c1e27fd
-A cali-from-wl-dispatch @ -m comment --comment "Unknown interface" -j DROP
-A cali-fw-cali4b90c1e27fd @ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-fw-cali4b90c1e27fd @ -j MARK --set-xmark 0x0/0x30000
-A cali-fw-cali4b90c1e27fd @ -j cali-pro-kns.orchard
-A cali-fw-cali4b90c1e27fd @ -m comment --comment "Return if profile accepted" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-fw-cali4b90c1e27fd @ -m comment --comment "Drop if no profiles matched" -j DROP
-A cali-pri-kns.orchard @ -m comment --comment "Profile kns.orchard ingress" -j MARK --set-xmark 0x10000/0x10000
-A cali-pri-kns.orchard @ -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-pro-kns.orchard @ -m comment --comment "Profile kns.orchard egress" -j MARK --set-xmark 0x10000/0x10000
-A cali-pro-kns.orchard @ -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-to-wl-dispatch -o cali4b90c1e27fd @ -g cali-tw-cali4b90c1e27fd
-A cali-to-wl-dispatch @ -m comment --comment "Unknown interface" -j DROP
-A cali-tw-cali4b90c1e27fd @ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-tw-cali4b90c1e27fd @ -j MARK --set-xmark 0x0/0x30000
-A cali-tw-cali4b90c1e27fd @ -j cali-pri-kns.orchard
-A cali-tw-cali4b90c1e27fd @ -m comment --comment "Return if profile accepted" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-tw-cali4b90c1e27fd @ -m comment --comment "Drop if no profiles matched" -j DROP
-A cali-wl-to-host @ -j cali-from-wl-dispatch
-A cali-wl-to-host @ -m comment --comment "Configured DefaultEndpointToHostAction" -j ACCEPT
COMMIT
RULES
done
