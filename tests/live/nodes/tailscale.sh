# A subnet router's rules in iptables, and the policy routing of tailscaled.
for iptables in iptables-nft ip6tables-nft; do
    if [[ $iptables == iptables-nft ]]; then range=100.64.0.0/10 self=100.72.15.9/32; else range=fd7a:115c:a1e0::/48 self=fd7a:115c:a1e0::4801:f09/128; fi
    $iptables-restore <<RULES
*mangle
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j CONNMARK --restore-mark --nfmask 0xff0000 --ctmask 0xff0000
-A OUTPUT -m conntrack --ctstate NEW -m mark ! --mark 0x0/0xff0000 -j CONNMARK --save-mark --nfmask 0xff0000 --ctmask 0xff0000
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
:ts-postrouting - [0:0]
-A POSTROUTING -j ts-postrouting
-A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:ts-forward - [0:0]
:ts-input - [0:0]
-A INPUT -j ts-input
-A FORWARD -j ts-forward
-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
-A ts-forward -s $range -o tailscale0 -j DROP
-A ts-forward -o tailscale0 -j ACCEPT
-A ts-input -s $self -i lo -j ACCEPT
-A ts-input -s $range ! -i tailscale0 -j DROP
-A ts-input -i tailscale0 -j ACCEPT
-A ts-input -p udp -m udp --dport 41641 -j ACCEPT
COMMIT
RULES
done
for family in -4 -6; do
    ip $family rule add priority 5210 fwmark 0x80000/0xff0000 table main
    ip $family rule add priority 5230 fwmark 0x80000/0xff0000 table default
    ip $family rule add priority 5250 fwmark 0x80000/0xff0000 unreachable
    ip $family rule add priority 5270 table 52
done
