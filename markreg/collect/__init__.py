"""The live node: what it says of its rules, through its own tools. Nothing here changes the node.

The only place that spawns processes or opens netlink: fixed argument vectors, time limits, no shell.
"""
