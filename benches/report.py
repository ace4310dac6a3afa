"""Tables of `results`, which a bench of nights wrote: a line for each night and tool, with the bytes added, seconds and peak KiB, tabs between them.

A tool's name may have a kind behind it, as in `restic-custom`: it's compared with nightsafe's of the same kind.
"""

import statistics

OURS = "nightsafe"
rows = {}
for line in open("results"):
    night, tool, size, seconds, memory = line.rstrip("\n").split("\t")
    run = (int(size) / 1e6, float(seconds), int(memory) / 1024)
    rows.setdefault(tool, {}).setdefault(night, []).append(run)
nights = sorted({int(night) for tool in rows.values() for night in tool if night.isdigit()})


def ours(tool):
    """nightsafe's runs of the same kind."""
    kinds = [name.removeprefix(OURS) for name in rows if name.startswith(OURS)]
    kind = max((kind for kind in kinds if tool.endswith(kind)), key=len)
    return rows[OURS + kind]


def report(title, value, digits, of=nights):
    """A line for each tool: its value for each night, and the median but for the first."""
    names = ["first" if night == 0 else str(night) for night in of]
    print(f"\n{title:24}" + "".join(f"{name:>9}" for name in names) + f"{'median':>9}")
    for tool, runs in rows.items():
        cells = [value(tool, runs[str(night)][0], night) for night in of if str(night) in runs]
        if cells and None not in cells:
            line = "".join(f"{cell:9.{digits}f}" for cell in cells)
            print(f"{tool:24}{line}{statistics.median(cells[1:] or cells):9.{digits}f}")


def unless_fixed(number):
    """What takes no time isn't a tool."""
    return lambda tool, run, night: run[number] if run[1] else None


report("MB added", lambda tool, run, night: run[0], 1)
if any(tool.startswith(OURS) for tool in rows):
    report("  times nightsafe", lambda tool, run, night: run[0] / ours(tool)[str(night)][0][0], 2)
report("seconds", unless_fixed(1), 1)
report("peak MiB", unless_fixed(2), 0)
if any("again" in runs for runs in rows.values()):
    report("again: MB added", lambda tool, run, night: run[0], 2, ["again"])
    report("again: seconds", unless_fixed(1), 1, ["again"])
if "pair" in rows.get(OURS, {}):
    pair = {tool: statistics.median(run[1] for run in rows[tool]["pair"]) for tool in ("pg_dump", OURS)}
    ratio = f"nightsafe {pair[OURS]:.1f} s, pg_dump to /dev/null {pair['pg_dump']:.1f} s: {pair[OURS] / pair['pg_dump']:.2f}x"
    print(f"\na capture: {ratio} (medians of 3)")
