"""Which module's weights go into which layer, what doesn't fit, and the taking over."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks
from fastnet.io.weights.places import Module, Names, Place, Slot, Stored

if TYPE_CHECKING:
    from fastnet.network import Network
    from fastnet.types import Shape

__all__ = ["match", "place_names", "refuse", "some", "take_over"]

SHOWN = 5  # examples in a warning


def take_over(
    net: Network, places: list[Place], modules: list[Module], names: Names | None, source: str
) -> dict[str, str | None]:
    """Load modules into places: all, or nothing and one error.

    Returns
    -------
    dict
        Names of modules -> names of places; None for those that `names` leaves out.
    """
    pairs, problems, matched = match(places, modules, names)
    problems += [problem for place, module in pairs for problem in _wrong_values(place, module)]
    refuse(problems, f"{source} does not fit the network, which is unchanged")
    values = [
        (
            slot.parameter,
            module.arrays[slot.name].name,
            _converted(slot, module.arrays[slot.name], slot.parameter.dtype),
        )
        for place, module in pairs
        for slot in place.slots
        if slot.parameter is not None
    ]
    with net.lock:
        for parameter, _, array in values:
            parameter.assign(array)
    broken = [f"{parameter.name} ({name})" for parameter, name, array in values if not np.isfinite(array).all()]
    if broken:
        warnings.warn(
            f"{source} was loaded, but has NaN or infinite values in {some(broken)}", RuntimeWarning, stacklevel=3
        )
    return matched


def refuse(problems: list[str], what: str) -> None:
    """One error for all problems, if there are any."""
    if problems:
        raise ValueError(f"{what}:\n  " + "\n  ".join(problems))


def match(
    places: list[Place], modules: list[Module], names: Names | None = None
) -> tuple[list[tuple[Place, Module]], list[str], dict[str, str | None]]:
    """Pairs of places and modules, what does not fit (as lines of an error), and the names of both.

    Modules that `names` does not mention are matched in their order with the places of their family. Where a file does not say
    the order, the first one that fits is taken, and a warning names those of equal shapes among which that was a guess.
    """
    told = place_names(names, [module.name for module in modules], [place.name for place in places])
    by_name = {place.name: place for place in places}
    pairs = [(by_name[layer], m) for m in modules if (layer := told.get(m.name)) is not None]
    taken = {place.name for place, _ in pairs}
    waiting = [place for place in places if place.name not in taken]
    rest = [module for module in modules if module.name not in told]
    problems, guessed = [], []
    for family in dict.fromkeys([*(place.family for place in waiting), *(module.family for module in rest)]):
        ours = [place for place in waiting if place.family == family]
        theirs = [module for module in rest if module.family == family]
        ours = ours if theirs else [place for place in ours if not place.optional]
        known = len({module.order for module in theirs}) < 2
        found = list(zip(ours, theirs, strict=True)) if known and len(ours) == len(theirs) else []
        if found and not all(_fits(*pair) for pair in found) and all(_fits(*p) for p in _fitting(ours, theirs)):
            problems.append(f"order: the modules with {family} fit in another order than theirs: say it by names=")
        found = found or _fitting(ours, theirs)
        if not known:
            guessed += _guesses(found)
        pairs += found
        used = {id(item) for pair in found for item in pair}
        problems += [
            f"missing: a module for {place.title} with {place.contents()}" for place in ours if id(place) not in used
        ]
        problems += [f"unexpected: {m.name or 'arrays'} with {m.contents()}" for m in theirs if id(m) not in used]
    for place, module in pairs:
        _name_by_position(place, module)
        problems += _compare(place, module)
    if guessed and not problems:
        warnings.warn(
            "the file does not say in which order the modules were defined; by the order of their names were matched, "
            f"although they have equal shapes: {some(guessed)}. The result says what became what; names= changes it",
            UserWarning,
            stacklevel=4,
        )
    position = {module.name: i for i, module in enumerate(modules)}
    matched = {module.name: place.name for place, module in pairs} | {n: None for n, p in told.items() if p is None}
    return pairs, problems, dict(sorted(matched.items(), key=lambda item: position[item[0]]))


def place_names(names: Names | None, modules: list[str], places: list[str]) -> dict[str, str | None]:
    """`names=` as a dict, of the modules that it mentions; each place is given once."""
    if names is None:
        return {}
    if callable(names):
        names = {module: names(module) for module in modules}
    if not isinstance(names, dict):
        raise TypeError(
            f"names must be a dict of modules' names to layers' names, or a function; got {checks.describe(names)}"
        )
    problems = []
    for module, place in names.items():
        if module not in modules:
            problems.append(f"{module!r} is not a module of the file{checks.nearest(module, modules)}")
        if place is not None and place not in places:
            problems.append(f"{place!r} is not a layer with weights{checks.nearest(place, places)}")
    counts = Counter(place for place in names.values() if isinstance(place, str))
    problems += [f"{place!r} is there {count} times" for place, count in counts.items() if count > 1]
    refuse(problems, "names does not fit")
    return dict(names)


def told_modules(names: Mapping[str, str | None] | None, places: list[str], modules: str) -> dict[str, str]:
    """`names=` of what is written, a dict of `modules` to layers' names, the other way round."""
    if names is None:
        return {}
    if not isinstance(names, dict):
        raise TypeError(f"names must be a dict of {modules} to layers' names; got {checks.describe(names)}")
    told = place_names(names, list(names), places)
    return {place: module for module, place in told.items() if place is not None}


def _compare(place: Place, module: Module) -> list[str]:
    """What does not fit, as lines of an error."""
    slots = {slot.name: slot for slot in place.slots}
    problems = [
        f"missing: {slot.name} {slot.shape} of {module.name or 'the top'}, for {place.title}"
        for slot in place.slots
        if slot.required and slot.name not in module.arrays
    ]
    for name, stored in module.arrays.items():
        slot = slots.get(name)
        if slot is None:
            problems.append(
                f"unexpected: {stored.name} {stored.shape}; {place.title} has {place.contents()} and nothing else"
            )
        elif slot.ignored:
            continue
        elif stored.shape != slot.shape:
            problems.append(
                f"shape of {stored.name}: {stored.shape} instead of {slot.shape}, for {place.title}{_here(slot)}"
            )
        elif stored.fault:
            problems.append(f"type of {stored.name}: {stored.fault} instead of floating-point numbers")
    return problems


def _wrong_values(place: Place, module: Module) -> list[str]:
    """Arrays for which the layer has no parameter, and which do something."""
    return [
        f"value of {stored.name}: not {slot.value:g} everywhere, and {place.title} has no {slot.name}"
        for slot in place.slots
        if (stored := module.arrays.get(slot.name)) is not None
        and slot.parameter is None and not slot.ignored and not _compare(place, module)
        and not np.all(stored.read() == slot.value)
    ]  # fmt: skip


def _here(slot: Slot) -> str:
    parameter = slot.parameter
    if parameter is None or parameter.shape == slot.shape:
        return ""
    return f", whose {parameter.local_name} is {parameter.shape} here"


def _converted(slot: Slot, stored: Stored, dtype: np.dtype) -> np.ndarray:
    array = slot.to_ours(np.asarray(stored.read()))
    with np.errstate(over="ignore"):
        return np.array(array, dtype, order="C")


def _fits(place: Place, module: Module) -> bool:
    named = Module(module.name, module.family, dict(module.arrays), module.by_position)
    _name_by_position(place, named)
    return not _compare(place, named)


def _fitting(places: list[Place], modules: list[Module]) -> list[tuple[Place, Module]]:
    """Each place with the first module that fits and is left.

    If there are as many of both, those that don't fit are paired, so that an error says what is different about them.
    """
    pairs, left, alone = [], list(modules), []
    for place in places:
        position = next((i for i, module in enumerate(left) if _fits(place, module)), None)
        if position is None:
            alone.append(place)
            continue
        pairs.append((place, left[position]))
        del left[position]
    if len(places) == len(modules):
        pairs += zip(alone, left, strict=True)
    return pairs


def _guesses(pairs: list[tuple[Place, Module]]) -> list[str]:
    """Modules of equal shapes whose order is not known."""
    alike: dict[tuple[tuple[str, Shape], ...], list[Module]] = {}
    for _, module in pairs:
        alike.setdefault(tuple((name, stored.shape) for name, stored in module.arrays.items()), []).append(module)
    return [
        f"{first.name} before {second.name}"
        for group in alike.values()
        for first, second in itertools.pairwise(group)
        if first.order != second.order
    ]


def _name_by_position(place: Place, module: Module) -> None:
    """Give arrays that are only numbered the names of the place's slots."""
    if module.by_position:
        slots = [slot.name for slot in place.slots]
        named = zip(module.arrays.items(), [*slots, *module.arrays], strict=False)
        module.arrays = {slot: stored for (_, stored), slot in named}
        module.by_position = False


def some(items: list[str]) -> str:
    """The first few of a list, for a warning."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more
