# What wg-quick up leaves behind for a tunnel with a default route (AllowedIPs = 0.0.0.0/0, ::/0).
for iptables in iptables-nft ip6tables-nft; do
    if [[ $iptables == iptables-nft ]]; then address=10.77.0.4; else address=fd77::4; fi
    $iptables-restore -n <<RULES
*raw
-I PREROUTING ! -i wg0 -d $address -m addrtype ! --src-type LOCAL -j DROP -m comment --comment "wg-quick(8) rule for wg0"
COMMIT
*mangle
-I POSTROUTING -m mark --mark 51820 -p udp -j CONNMARK --save-mark -m comment --comment "wg-quick(8) rule for wg0"
-I PREROUTING -p udp -j CONNMARK --restore-mark -m comment --comment "wg-quick(8) rule for wg0"
COMMIT
RULES
done
for family in -4 -6; do
    ip $family rule add not fwmark 51820 table 51820
    ip $family rule add table main suppress_prefixlength 0
done
