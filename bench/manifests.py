"""A tree of manifests as a cluster's repository has them, always the same: `markreg lint` beside PyYAML's C loader on the same files.

python -m bench.manifests FOLDER COUNT writes one.
"""

from __future__ import annotations

import sys
from pathlib import Path

_OBJECTS = 12
_PLAIN = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop-{number}-{part}
  namespace: shop
  labels: {{app: shop-{number}, part-of: shop}}
spec:
  replicas: 3
  selector:
    matchLabels: {{app: shop-{number}}}
  template:
    metadata:
      labels: {{app: shop-{number}}}
    spec:
      containers:
        - name: web
          image: registry.example.org/shop/web-{number}:v1.{part}.0
          args: ["--listen=:8080", "--log-level=info"]
          env:
            - {{name: REGION, value: "eu-{part}"}}
            - name: QUEUE
              valueFrom: {{configMapKeyRef: {{name: shop-{number}, key: queue}}}}
          ports: [{{containerPort: 8080, protocol: TCP}}]
          resources:
            limits: {{cpu: 500m, memory: 256Mi}}
            requests: {{cpu: 100m, memory: 128Mi}}
          readinessProbe: {{httpGet: {{path: /healthz, port: 8080}}, periodSeconds: 10}}
---
apiVersion: v1
kind: Service
metadata: {{name: shop-{number}-{part}, namespace: shop}}
spec:
  selector: {{app: shop-{number}}}
  ports:
    - {{name: http, port: 80, targetPort: 8080}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: shop-{number}, namespace: shop}}
data:
  queue: "orders-{part}"
  settings.yaml: |
    workers: {part}
    retries: 5
    backends:
      - http://backend-{number}.shop.svc:8080
---
"""
_CNI = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
        - name: calico-node
          image: quay.io/calico/node:v3.30.2
          env: [{name: FELIX_IPTABLESMARKMASK, value: "0xffff0000"}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: exit-node, namespace: vpn}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
        - name: tailscale
          image: ghcr.io/tailscale/tailscale:v1.96.0
          env: [{name: TS_USERSPACE, value: "false"}]
"""


def manifest(number: int) -> str:
    """File ``number`` of the tree."""
    return "".join(_PLAIN.format(number=number, part=part) for part in range(_OBJECTS))


def write(folder: Path, count: int) -> None:
    """``count`` files of 17 kB, and one with two components that collide."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count - 1):
        (folder / f"shop-{number:05}.yaml").write_text(manifest(number), encoding="utf-8")
    (folder / "network.yaml").write_text(_CNI, encoding="utf-8")


def load(folder: Path) -> None:
    """What the comparison is with: every file loaded by PyYAML's C loader."""
    import yaml

    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            for _ in yaml.load_all(file, Loader=yaml.CSafeLoader):
                pass


if __name__ == "__main__":
    if sys.argv[1] == "load":
        load(Path(sys.argv[2]))
    else:
        write(Path(sys.argv[1]), int(sys.argv[2]))
