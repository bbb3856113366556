# kube-proxy in iptables mode with one service of two endpoints; BACKEND is nft or legacy.
for iptables in "iptables-${BACKEND:-nft}" "ip6tables-${BACKEND:-nft}"; do
    if [[ $iptables == iptables-* ]]; then
        service=10.96.0.10/32 pods=10.128.0.0/16 one=10.128.3.4 two=10.128.5.9 port=plain
    else
        service=fd00:96::a/128 pods=fd00:128::/48 one=fd00:128::4 two=fd00:128::9 port=bracketed
    fi
    to() { if [[ $port == plain ]]; then echo "$1:53"; else echo "[$1]:53"; fi; }
    $iptables-restore <<RULES
*mangle
:KUBE-PROXY-CANARY - [0:0]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-SEP-4QXVN6ZR2LJ7KPSD - [0:0]
:KUBE-SEP-B3HTW5YE6MCAGF2U - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ERIFXISQEP7F7OF4 - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SEP-4QXVN6ZR2LJ7KPSD -s $one -m comment --comment "kube-system/kube-dns:dns" -j KUBE-MARK-MASQ
-A KUBE-SEP-4QXVN6ZR2LJ7KPSD -p udp -m comment --comment "kube-system/kube-dns:dns" -m udp -j DNAT --to-destination $(to $one)
-A KUBE-SEP-B3HTW5YE6MCAGF2U -s $two -m comment --comment "kube-system/kube-dns:dns" -j KUBE-MARK-MASQ
-A KUBE-SEP-B3HTW5YE6MCAGF2U -p udp -m comment --comment "kube-system/kube-dns:dns" -m udp -j DNAT --to-destination $(to $two)
-A KUBE-SERVICES -d $service -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp --dport 53 -j KUBE-SVC-ERIFXISQEP7F7OF4
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-ERIFXISQEP7F7OF4 ! -s $pods -d $service -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp --dport 53 -j KUBE-MARK-MASQ
-A KUBE-SVC-ERIFXISQEP7F7OF4 -m comment --comment "kube-system/kube-dns:dns -> one" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-4QXVN6ZR2LJ7KPSD
-A KUBE-SVC-ERIFXISQEP7F7OF4 -m comment --comment "kube-system/kube-dns:dns -> two" -j KUBE-SEP-B3HTW5YE6MCAGF2U
COMMIT
*filter
:FORWARD ACCEPT [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
RULES
done
