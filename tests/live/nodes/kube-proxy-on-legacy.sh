# The same on a node with the legacy backend.
BACKEND=legacy
source "$(dirname "${BASH_SOURCE[0]}")/kube-proxy.sh"
