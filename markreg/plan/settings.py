"""A setting as its component writes it, at each place where it is read."""

from __future__ import annotations

import json
from collections.abc import Iterator

from markreg.registry import numbers
from markreg.registry.effective import Settings
from markreg.registry.model import Knob, ReadAt

_UCI = "/etc/config/"
_NOTATIONS = {"decimal": "d", "digits": "d", "hex": "#x", "bare-hex": "x", "hex8": "08x"}


def written(knob: Knob, place: ReadAt, value: int) -> str | None:
    """A value in the notation of a place (its ``number``); decimal for bits and hexadecimal for masks where it says nothing.

    None where the place holds more than this value, or is only a hint at another.
    """
    form = place.number or ("decimal" if knob.type in ("bit", "integer") else "hex")
    notation = _NOTATIONS.get(form)
    return format(value, notation) if notation else None


def places(knob: Knob, value: int, settings: Settings) -> Iterator[tuple[str, str]]:
    """For each place of a knob that counts at these settings, in order of precedence, where it is and the text to put there."""
    for place in knob.read:
        # Words that only stand for numbers cannot take one.
        text = None if place.values else written(knob, place, value)
        if text is not None and numbers.holds(place.when, settings) is not False and (said := _said(place, text)):
            yield said


def _said(place: ReadAt, text: str) -> tuple[str, str] | None:
    quoted = json.dumps(text)
    if place.env:
        where = f"environment of container {place.container}" if place.container else "environment"
        return where, f"{place.env}={text}" if place.flag else f"- {{ name: {place.env}, value: {quoted} }}"
    if place.kind:
        *group, kind = place.kind.split("/")
        where = f"{kind} ({group[0]})" if group else kind
        # A list of options, without their dashes (K3s).
        return where, f'{place.path}: ["{place.flag.lstrip("-")}={text}"]' if place.flag else _nested(place.path, text)
    if place.flag and not place.file:
        return f"command line of {place.process}" if place.process else "command line", f"{place.flag}={text}"
    if place.config_map:
        inner, colon, path = place.key.partition(":")
        where = f"ConfigMap {place.config_map}, {inner}" if colon else f"ConfigMap {place.config_map}"
        return where, _nested(path, text) if colon else f"{place.key}: {quoted}"
    if place.file.startswith(_UCI):
        return f"OpenWrt's {place.file}", f"uci set {place.file.removeprefix(_UCI)}.{place.path}={text}"
    if place.file:
        return place.file, f"{place.flag}={text}" if place.flag else f"{place.path} = {text}"
    if place.helm:
        return "Helm values", _nested(place.helm, text)
    if place.cni:
        return f"CNI plugin {place.cni}", f'"{place.key}": {text if text.isdigit() else quoted}'
    if place.annotation:
        return "annotation", f"{place.annotation}: {quoted}"
    if place.unit:
        return f"unit {place.unit}", f"{place.key}={text}"
    return ("OVN northbound", f"{place.nb} = {text}") if place.nb else None


def _nested(path: str, text: str) -> str:
    """``spec.iptablesMarkMask`` as YAML: ``spec: { iptablesMarkMask: 4278190080 }``."""
    *outer, last = path.split(".")
    value = text if text.isdigit() else json.dumps(text)
    name = last.removesuffix("[0]")
    inner = f"{last}: {value}" if name == last else f"{name}: [{json.dumps(text)}]"
    for part in reversed(outer):
        inner = f"{part}: {{ {inner} }}"
    return inner


def toml(knob: Knob, value: int) -> bool | int | str:
    """The value as a registry file pins it: masks as hexadecimal strings."""
    return f"{value:#x}" if knob.type in ("mask", "value") else value
