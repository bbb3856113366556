#!/usr/bin/env bash
# Builds the node of this folder in a network namespace of its own and writes what the real tools say of it.
# Usage, as root: capture.sh [FOLDER]     (needs iptables with its nft backend, iproute2 and ipset)
set -euo pipefail

out=$(realpath "${1:-$(dirname "$0")}")
netns=markreg-example-$$
date=$(LC_ALL=C date -u -d "@${SOURCE_DATE_EPOCH:-1790000000}" '+%a %b %e %H:%M:%S %Y')

ip netns add "$netns"
trap 'ip netns del "$netns"' EXIT
node() { ip netns exec "$netns" "$@"; }

# Names as the components derive them from content: kube-proxy in base32, Felix in base64.
digest() { printf '%b' "$(printf '%s' "$1" | sha256sum | cut -d' ' -f1 | sed 's/../\\x&/g')"; }
hash32() { digest "$1" | base32 -w0 | cut -c1-16; }
hash64() { digest "$1" | base64 -w0 | tr '+/' '-_' | cut -c1-16; }

# Felix puts a hash of each of its rules into a comment: "@cali" stands for it below.
felix() {
    local line
    while IFS= read -r line; do
        printf '%s\n' "${line/@cali/-m comment --comment \"cali:$(hash64 "$line")\"}"
    done
}

# service NAME PROTOCOL ADDRESS PORT ENDPOINT…: the chains and rules that kube-proxy makes of a service.
declare kube_chains='' kube_entries='' kube_rules=''
service() {
    local name=$1 proto=$2 address=$3 port=$4 svc sep endpoint left odds
    shift 4
    svc=KUBE-SVC-$(hash32 "$name$proto")
    kube_chains+=":$svc - [0:0]"$'\n'
    kube_entries+="-A KUBE-SERVICES -d $address/32 -p $proto -m comment --comment \"$name cluster IP\" -m $proto --dport $port -j $svc"$'\n'
    kube_rules+="-A $svc ! -s 10.128.0.0/16 -d $address/32 -p $proto -m comment --comment \"$name cluster IP\" -m $proto --dport $port -j KUBE-MARK-MASQ"$'\n'
    left=$#
    for endpoint; do
        sep=KUBE-SEP-$(hash32 "$name$proto$endpoint")
        odds=''
        if ((left > 1)); then
            odds="-m statistic --mode random --probability $(awk "BEGIN { printf \"%.11f\", 1 / $left }") "
        fi
        left=$((left - 1))
        kube_chains+=":$sep - [0:0]"$'\n'
        kube_rules+="-A $svc -m comment --comment \"$name -> $endpoint\" $odds-j $sep"$'\n'
        kube_rules+="-A $sep -s ${endpoint%:*}/32 -m comment --comment \"$name\" -j KUBE-MARK-MASQ"$'\n'
        kube_rules+="-A $sep -p $proto -m comment --comment \"$name\" -m $proto -j DNAT --to-destination $endpoint"$'\n'
    done
}
service default/kubernetes:https tcp 10.96.0.1 443 192.168.40.11:6443
service kube-system/kube-dns:dns udp 10.96.0.10 53 10.128.3.4:53 10.128.5.9:53
service kube-system/kube-dns:dns-tcp tcp 10.96.0.10 53 10.128.3.4:53 10.128.5.9:53
service orchard/api:http tcp 10.97.14.62 80 10.128.3.7:8080 10.128.5.21:8080 10.128.6.3:8080

# workload INTERFACE PROFILE: the chains that Felix makes of a pod's interface.
workload() {
    cat <<RULES
-A cali-fw-$1 @cali -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-fw-$1 @cali -m conntrack --ctstate INVALID -j DROP
-A cali-fw-$1 @cali -j MARK --set-mark 0/0x30000
-A cali-fw-$1 -p udp @cali -m comment --comment "Drop VXLAN encapped packets originating in workloads" -m multiport --dports 4789 -j DROP
-A cali-fw-$1 -p ipencap @cali -m comment --comment "Drop IPinIP encapped packets originating in workloads" -j DROP
-A cali-fw-$1 @cali -j cali-pro-kns.$2
-A cali-fw-$1 @cali -m comment --comment "Return if profile accepted" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-fw-$1 @cali -m comment --comment "Drop if no profiles matched" -j DROP
-A cali-tw-$1 @cali -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-tw-$1 @cali -m conntrack --ctstate INVALID -j DROP
-A cali-tw-$1 @cali -j MARK --set-mark 0/0x30000
RULES
}

node ip link set lo up
node ipset create cali40all-ipam-pools hash:net family inet
node ipset create cali40masq-ipam-pools hash:net family inet
node ipset create cali40all-vxlan-net hash:net family inet

node iptables-nft-restore <<RULES
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
$(felix <<'FELIX'
:cali-OUTPUT - [0:0]
:cali-PREROUTING - [0:0]
:cali-from-host-endpoint - [0:0]
:cali-rpf-skip - [0:0]
:cali-to-host-endpoint - [0:0]
-A PREROUTING @cali -j cali-PREROUTING
-A OUTPUT @cali -j cali-OUTPUT
-A cali-PREROUTING @cali -j MARK --set-mark 0/0xf0000
-A cali-PREROUTING -i cali+ @cali -j MARK --set-mark 0x40000/0x40000
-A cali-PREROUTING @cali -m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j cali-rpf-skip
-A cali-PREROUTING @cali -m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP
-A cali-PREROUTING @cali -m mark --mark 0/0x40000 -j cali-from-host-endpoint
-A cali-PREROUTING @cali -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT @cali -j MARK --set-mark 0/0xf0000
-A cali-OUTPUT @cali -j cali-to-host-endpoint
-A cali-OUTPUT @cali -m mark --mark 0x10000/0x10000 -j ACCEPT
FELIX
)
-I PREROUTING ! -i wg0 -d 10.77.0.4 -m addrtype ! --src-type LOCAL -j DROP -m comment --comment "wg-quick(8) rule for wg0"
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-PROXY-CANARY - [0:0]
$(felix <<'FELIX'
:cali-POSTROUTING - [0:0]
:cali-PREROUTING - [0:0]
:cali-from-host-endpoint - [0:0]
:cali-to-host-endpoint - [0:0]
-A PREROUTING @cali -j cali-PREROUTING
-A POSTROUTING @cali -j cali-POSTROUTING
-A cali-PREROUTING @cali -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-PREROUTING @cali -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-PREROUTING @cali -j cali-from-host-endpoint
-A cali-PREROUTING @cali -m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-POSTROUTING @cali -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-POSTROUTING @cali -j MARK --set-mark 0/0xf0000
-A cali-POSTROUTING @cali -m conntrack --ctstate DNAT -j cali-to-host-endpoint
-A cali-POSTROUTING @cali -m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j RETURN
FELIX
)
-I POSTROUTING -m mark --mark 51820 -p udp -j CONNMARK --save-mark -m comment --comment "wg-quick(8) rule for wg0"
-I PREROUTING -p udp -j CONNMARK --restore-mark -m comment --comment "wg-quick(8) rule for wg0"
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-SERVICES - [0:0]
$kube_chains:ts-postrouting - [0:0]
-A POSTROUTING -j ts-postrouting
$(felix <<'FELIX'
:cali-OUTPUT - [0:0]
:cali-POSTROUTING - [0:0]
:cali-PREROUTING - [0:0]
:cali-fip-dnat - [0:0]
:cali-fip-snat - [0:0]
:cali-nat-outgoing - [0:0]
-A PREROUTING @cali -j cali-PREROUTING
-A OUTPUT @cali -j cali-OUTPUT
-A POSTROUTING @cali -j cali-POSTROUTING
-A cali-OUTPUT @cali -j cali-fip-dnat
-A cali-POSTROUTING @cali -j cali-fip-snat
-A cali-POSTROUTING @cali -j cali-nat-outgoing
-A cali-POSTROUTING -o vxlan.calico @cali -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE --random-fully
-A cali-PREROUTING @cali -j cali-fip-dnat
-A cali-nat-outgoing @cali -m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst -j MASQUERADE --random-fully
FELIX
)
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
$kube_entries-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
$kube_rules-A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
:ts-forward - [0:0]
:ts-input - [0:0]
-A INPUT -j ts-input
-A FORWARD -j ts-forward
$(felix <<FELIX
:cali-FORWARD - [0:0]
:cali-INPUT - [0:0]
:cali-OUTPUT - [0:0]
:cali-cidr-block - [0:0]
:cali-from-hep-forward - [0:0]
:cali-from-host-endpoint - [0:0]
:cali-from-wl-dispatch - [0:0]
:cali-fw-cali4b90c1e27fd - [0:0]
:cali-fw-calid36ab508e14 - [0:0]
:cali-pi-$(hash64 orchard/api-from-web) - [0:0]
:cali-pri-kns.kube-system - [0:0]
:cali-pri-kns.orchard - [0:0]
:cali-pro-kns.kube-system - [0:0]
:cali-pro-kns.orchard - [0:0]
:cali-to-hep-forward - [0:0]
:cali-to-host-endpoint - [0:0]
:cali-to-wl-dispatch - [0:0]
:cali-tw-cali4b90c1e27fd - [0:0]
:cali-tw-calid36ab508e14 - [0:0]
:cali-wl-to-host - [0:0]
-A INPUT @cali -j cali-INPUT
-A FORWARD @cali -j cali-FORWARD
-A OUTPUT @cali -j cali-OUTPUT
-A FORWARD @cali -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-FORWARD @cali -j MARK --set-mark 0/0xe0000
-A cali-FORWARD @cali -m mark --mark 0/0x10000 -j cali-from-hep-forward
-A cali-FORWARD -i cali+ @cali -j cali-from-wl-dispatch
-A cali-FORWARD -o cali+ @cali -j cali-to-wl-dispatch
-A cali-FORWARD @cali -j cali-to-hep-forward
-A cali-FORWARD @cali -j cali-cidr-block
-A cali-INPUT -p udp @cali -m comment --comment "Allow IPv4 VXLAN packets from allowed hosts" -m multiport --dports 4789 -m set --match-set cali40all-vxlan-net src -m addrtype --dst-type LOCAL -j ACCEPT
-A cali-INPUT -p udp @cali -m comment --comment "Drop IPv4 VXLAN packets from non-allowed hosts" -m multiport --dports 4789 -m addrtype --dst-type LOCAL -j DROP
-A cali-INPUT -i cali+ @cali -g cali-wl-to-host
-A cali-INPUT @cali -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-INPUT @cali -j MARK --set-mark 0/0xf0000
-A cali-INPUT @cali -j cali-from-host-endpoint
-A cali-INPUT @cali -m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT @cali -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-OUTPUT -o cali+ @cali -j RETURN
-A cali-OUTPUT @cali -j MARK --set-mark 0/0xf0000
-A cali-OUTPUT @cali -m conntrack ! --ctstate DNAT -j cali-to-host-endpoint
-A cali-OUTPUT @cali -m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-from-wl-dispatch -i cali4b90c1e27fd @cali -g cali-fw-cali4b90c1e27fd
-A cali-from-wl-dispatch -i calid36ab508e14 @cali -g cali-fw-calid36ab508e14
-A cali-from-wl-dispatch @cali -m comment --comment "Unknown interface" -j DROP
$(workload cali4b90c1e27fd kube-system)
-A cali-tw-cali4b90c1e27fd @cali -j cali-pri-kns.kube-system
-A cali-tw-cali4b90c1e27fd @cali -m comment --comment "Return if profile accepted" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-tw-cali4b90c1e27fd @cali -m comment --comment "Drop if no profiles matched" -j DROP
$(workload calid36ab508e14 orchard)
-A cali-tw-calid36ab508e14 @cali -m comment --comment "Start of tier default" -j MARK --set-mark 0/0x20000
-A cali-tw-calid36ab508e14 @cali -m mark --mark 0/0x20000 -j cali-pi-$(hash64 orchard/api-from-web)
-A cali-tw-calid36ab508e14 @cali -m comment --comment "Return if policy accepted" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-tw-calid36ab508e14 @cali -m comment --comment "End of tier default. Drop if no policies passed packet" -m mark --mark 0/0x20000 -j DROP
-A cali-pi-$(hash64 orchard/api-from-web) -p tcp @cali -m comment --comment "Policy orchard/knp.default.api-from-web ingress" -m multiport --dports 8080 -j MARK --set-mark 0x10000/0x10000
-A cali-pi-$(hash64 orchard/api-from-web) @cali -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-pri-kns.kube-system @cali -m comment --comment "Profile kns.kube-system ingress" -j MARK --set-mark 0x10000/0x10000
-A cali-pri-kns.kube-system @cali -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-pri-kns.orchard @cali -m comment --comment "Profile kns.orchard ingress" -j MARK --set-mark 0x10000/0x10000
-A cali-pri-kns.orchard @cali -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-pro-kns.kube-system @cali -m comment --comment "Profile kns.kube-system egress" -j MARK --set-mark 0x10000/0x10000
-A cali-pro-kns.kube-system @cali -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-pro-kns.orchard @cali -m comment --comment "Profile kns.orchard egress" -j MARK --set-mark 0x10000/0x10000
-A cali-pro-kns.orchard @cali -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-to-wl-dispatch -o cali4b90c1e27fd @cali -g cali-tw-cali4b90c1e27fd
-A cali-to-wl-dispatch -o calid36ab508e14 @cali -g cali-tw-calid36ab508e14
-A cali-to-wl-dispatch @cali -m comment --comment "Unknown interface" -j DROP
-A cali-wl-to-host @cali -j cali-from-wl-dispatch
-A cali-wl-to-host @cali -m comment --comment "Configured DefaultEndpointToHostAction" -j ACCEPT
FELIX
)
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
$(felix <<'FELIX'
-A FORWARD @cali -j MARK --set-mark 0x10000/0x10000
FELIX
)
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ts-forward -i tailscale0 -j MARK --set-mark 0x40000/0xff0000
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
-A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP
-A ts-forward -o tailscale0 -j ACCEPT
-A ts-input -s 100.72.15.9/32 -i lo -j ACCEPT
-A ts-input -s 100.115.92.0/23 ! -i tailscale0 -j RETURN
-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP
-A ts-input -i tailscale0 -j ACCEPT
-A ts-input -p udp -m udp --dport 41641 -j ACCEPT
COMMIT
RULES

node ip6tables-nft-restore <<RULES
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
$(felix <<'FELIX'
:cali-PREROUTING - [0:0]
:cali-from-host-endpoint - [0:0]
-A PREROUTING @cali -j cali-PREROUTING
-A cali-PREROUTING @cali -j MARK --set-mark 0/0xf0000
-A cali-PREROUTING -i cali+ @cali -j MARK --set-mark 0x40000/0x40000
-A cali-PREROUTING @cali -m mark --mark 0/0x40000 -j cali-from-host-endpoint
-A cali-PREROUTING @cali -m mark --mark 0x10000/0x10000 -j ACCEPT
FELIX
)
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:ts-postrouting - [0:0]
-A POSTROUTING -j ts-postrouting
-A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:ts-forward - [0:0]
:ts-input - [0:0]
-A INPUT -j ts-input
-A FORWARD -j ts-forward
$(felix <<'FELIX'
:cali-FORWARD - [0:0]
-A FORWARD @cali -j cali-FORWARD
-A cali-FORWARD @cali -j MARK --set-mark 0/0xe0000
FELIX
)
-A ts-forward -i tailscale0 -j MARK --set-mark 0x40000/0xff0000
-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
-A ts-forward -o tailscale0 -j ACCEPT
-A ts-input -s fd7a:115c:a1e0::4801:f09/128 -i lo -j ACCEPT
-A ts-input -i tailscale0 -j ACCEPT
-A ts-input -p udp -m udp --dport 41641 -j ACCEPT
COMMIT
RULES

# wg-quick came up at boot and took the free priorities before main's; tailscaled names its own.
node ip -4 rule add not fwmark 51820 table 51820
node ip -4 rule add table main suppress_prefixlength 0
for family in -4 -6; do
    node ip $family rule add priority 5210 fwmark 0x80000/0xff0000 table main
    node ip $family rule add priority 5230 fwmark 0x80000/0xff0000 table default
    node ip $family rule add priority 5250 fwmark 0x80000/0xff0000 unreachable
    node ip $family rule add priority 5270 table 52
done

stamped() { sed -E "s/^(# .*) on .*$/\1 on $date/"; }
node iptables-nft-save | stamped >"$out/iptables-save.txt"
node ip6tables-nft-save | stamped >"$out/ip6tables-save.txt"
node ip -4 rule show >"$out/ip-rule.txt"
node ip -6 rule show >"$out/ip6-rule.txt"
