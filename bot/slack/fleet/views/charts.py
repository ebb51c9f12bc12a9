"""Charts as pictures, and as the same in words: for phones, for eyes that see no colours, and for ears.

matplotlib is imported when one is drawn: it costs a second and 50 MB, so a process of its own draws. Names
are hostile here too: they may hold what a font or mathtext trips over.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from bot.domain.fleet.charts import FirmwareChart, Line, ModelFirmware, OfflineChart, VersionCount
from bot.slack.views.blocks import (
    File,
    Message,
    context,
    count,
    duration,
    escape,
    message,
    plain_name,
    section,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

PIXELS: Final = (1200, 750)  # twice what a phone shows
_DPI: Final = 150
_INK, _QUIET, _GRID, _PAPER = "#1d1c1d", "#5c5a5e", "#dddddd", "#ffffff"
# Each has four and a half times the paper's contrast, and a mark of its own beside its colour.
_STYLES: Final = (
    ("#0064a8", "o", "-"),
    ("#b3460e", "s", "--"),
    ("#00704a", "^", "-."),
    ("#8a3a94", "D", ":"),
    ("#7a5c00", "v", (0, (6, 1, 1, 1, 1, 1))),
)
_BAR, _OLD_BAR, _REST = "#0064a8", "#7fa8c9", "#a9a9ad"
_MARKS = 12  # on one line
_NO_PAST = "Firmware is drawn as it is now, so a period changes nothing."
_MOST_POINTS, _MOST_SERIES = 20, 6  # of Slack's own chart
_LABEL, _TITLE_LABEL = 40, 30  # characters of a name in the picture, before it is made to fit
_SPOKEN = 60  # and in words


def offline_picture(chart: OfflineChart, zone: ZoneInfo, query: str = "") -> File:
    """Draws it."""
    whole = chart.whole
    title = f"Gateways offline, {_period(chart)}"
    said = [count(whole.gateways, "gateway"), f"{whole.offline:,} offline now"]
    said += [f"known since {_local(chart.begins, zone)}"] if chart.is_shortened else []
    figure, axes = _paper(title, [query, *said])
    _draw_lines(axes, chart, zone)
    return File("offline.png", _png(figure), _titled(title, query), offline_words(chart, zone, query))


def firmware_picture(chart: FirmwareChart, query: str = "") -> File:
    """Draws it."""
    title = "Firmware versions"
    said = [query, *map(_model, chart.models[:1] if len(chart.models) == 1 else ())]
    said.append(count(chart.gateways, "gateway"))
    if chart.left_out:
        said.append(f"{count(chart.left_out, 'smaller model')} left out")
    figure, axes = _paper(title, said)
    _draw_bars(axes, chart.models)
    return File("firmware.png", _png(figure), _titled(title, query), firmware_words(chart, query))


def sent(picture: File, *, no_past: bool = False) -> Message:
    """The answer to whoever asked. ``no_past``: a period was given where it means nothing."""
    said = f"I sent you “{picture.title}” as a direct message."
    ignored = _NO_PAST if no_past else ""
    parts = [escape(one) for one in (said, ignored) if one]
    return message(
        "\n".join([*parts, escape(picture.alt)]), [section(" ".join(parts)), context(escape(picture.alt))]
    )


# ---- as Slack's own chart; limits: docs.slack.dev/reference/block-kit/blocks/data-visualization-block
def offline_chart(chart: OfflineChart, zone: ZoneInfo, query: str = "") -> Message:
    """Draws itself where the workspace takes it, with as many points as Slack does; elsewhere it is words."""
    together = -(-len(chart.whole.shares) // _MOST_POINTS)
    starts = [_local(edge, zone) for edge in chart.edges[:-1:together]]
    lines = [("All gateways", chart.whole), *((_short(line.name), line) for line in chart.worst)]
    found = {name: _percents(line, together) for name, line in lines}
    known = [at for at, percent in enumerate(found["All gateways"]) if percent is not None]
    labels = [starts[at] for at in known]
    series = {name: [percents[at] for at in known] for name, percents in found.items()}
    whole = {name: values for name, values in series.items() if None not in values}
    title = f"Gateways offline in %, {_period(chart)}"
    return _charted(title, "line", labels, whole, offline_words(chart, zone, query))


def firmware_chart(chart: FirmwareChart, query: str = "", *, no_past: bool = False) -> Message:
    """The same of who runs which firmware: a group of bars for each version."""
    labels = list(
        dict.fromkeys(_short(_version(one.version)) for model in chart.models for one in model.versions)
    )
    series = {}
    for model in chart.models:
        runs = {_short(_version(one.version)): one.gateways for one in model.versions}
        series[_short(f"Model {model.model or 'unknown'}")] = [runs.get(label, 0) for label in labels]
    words = "\n".join([*([_NO_PAST] if no_past else []), firmware_words(chart, query)])
    return _charted("Gateways on each firmware", "bar", labels, series, words)


def _charted(
    title: str, kind: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]], words: str
) -> Message:
    said = escape(words)
    block = {
        "type": "data_visualization",
        "title": plain_name(title, 50),
        "chart": {
            "type": kind,
            "series": [
                {
                    "name": name,
                    "data": [
                        {"label": label, "value": value} for label, value in zip(labels, values, strict=True)
                    ],
                }
                for name, values in series.items()
            ],
            "axis_config": {"categories": [*labels]},
        },
    }
    fits = 0 < len(labels) == len(set(labels)) <= _MOST_POINTS and len(series) <= _MOST_SERIES
    return message(said, [section(said)], newer=[block, context(said)] if fits else ())


def _percents(line: Line, together: int) -> list[float | None]:
    """The mean of so many buckets at a time; None where nobody was known."""
    found: list[float | None] = []
    for start in range(0, len(line.shares), together):
        some = [share for share in line.shares[start : start + together] if share is not None]
        found.append(round(100 * sum(some) / len(some), 1) if some else None)
    return found


def _short(text: str) -> str:
    return plain_name(text, 20) or "unknown"


# ---- in words
def offline_words(chart: OfflineChart, zone: ZoneInfo, query: str = "") -> str:
    """What the picture shows, a line for each of its lines or models; not escaped."""
    said = [
        f"The share of gateways offline{_of(query)} from {_local(chart.begins, zone)} "
        f"to {_local(chart.ends, zone)} ({zone.key})"
        + (", since they are not known for longer." if chart.is_shortened else "."),
        f"All {count(chart.whole.gateways, 'gateway')}: {_line_words(chart, chart.whole, zone)}.",
        *(
            f"{_spoken(line.name)} ({count(line.gateways, 'gateway')}): {_line_words(chart, line, zone)}."
            for line in chart.worst
        ),
    ]
    others = chart.sites - len(chart.worst)
    if others and chart.sites > 1:
        sites = count(others, "other site") if chart.worst else count(others, "site")
        most = chart.most_elsewhere
        said.append(f"{sites}: {f'none above {_percent(most)} on average' if most else 'none was offline'}.")
    return "\n".join(said)


def firmware_words(chart: FirmwareChart, query: str = "") -> str:
    """What the picture shows, a line for each of its lines or models; not escaped."""
    said = [f"The firmware of {count(chart.gateways, 'gateway')}{_of(query)}."]
    for model in chart.models:
        versions = [f"{_version(one.version)} on {one.gateways:,}" for one in model.versions]
        if model.left_out:
            versions.append(f"{count(model.left_out, 'other version')} on {model.left_out_gateways:,}")
        said.append(f"{_model(model)}: {', '.join(versions)}.")
    if chart.left_out:
        said.append(f"{count(chart.left_out, 'smaller model is', 'smaller models are')} left out.")
    return "\n".join(said)


def _line_words(chart: OfflineChart, line: Line, zone: ZoneInfo) -> str:
    share, bucket = line.peak()
    peak = f", at most {_percent(share)} around {_local(chart.middles()[bucket], zone)}" if share else ""
    return f"{line.offline:,} offline now, {_percent(line.mean)} on average{peak}"


# ---- what both pictures share
def _paper(title: str, said: Sequence[str]) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PIXELS[0] / _DPI, PIXELS[1] / _DPI), dpi=_DPI, facecolor=_PAPER)
    figure.text(0.03, 0.93, title, fontsize=17, fontweight="bold", color=_INK, parse_math=False)
    beside = " · ".join(_legible(one, _TITLE_LABEL) for one in said if one)
    _fit(figure.text(0.03, 0.865, beside, fontsize=12.5, color=_QUIET, parse_math=False), PIXELS[0] * 0.94)
    axes = figure.add_axes((0.09, 0.1, 0.62, 0.7))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_QUIET)
    axes.tick_params(labelsize=12.5, colors=_QUIET, length=0, pad=6)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    made = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(made, format="png")
    return made.getvalue()


# ---- lines
def _draw_lines(axes: "Axes", chart: OfflineChart, zone: ZoneInfo) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    begins, *moments, ends = _days([chart.begins, *chart.middles(), chart.ends])
    highest = max(line.peak()[0] for line in (chart.whole, *chart.worst))
    top = min(max(highest * 1.12, 0.05), 1.03)
    shares = [_numbers(line) for line in (chart.whole, *chart.worst)]
    axes.fill_between(moments, shares[0], color=_GRID, alpha=0.7, linewidth=0)
    every = max(len(moments) // _MARKS, 1)
    for place, (line, (colour, mark, dashes)) in reversed(
        list(enumerate(zip(shares[1:], _STYLES, strict=False)))
    ):
        marks = (place * every // len(_STYLES), every)  # not one mark upon the other
        axes.plot(moments, line, color=colour, ls=dashes, lw=2.2, marker=mark, markevery=marks, ms=7)
    axes.plot(moments, shares[0], color=_INK, lw=3.2, marker="o" if len(moments) == 1 else "")
    axes.set_xlim(begins, ends)
    axes.set_ylim(-top * 0.012, top)
    axes.grid(axis="y", color=_GRID, linewidth=1)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: _percent(share)))
    when = AutoDateLocator(tz=zone, minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
    written = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        when,
        tz=zone,
        formats=["%Y", "%b", "%a %d", "%H:%M", "%H:%M", "%H:%M:%S"],
        zero_formats=["", "%b", "%d %b", "%a %d", "%H:%M", "%H:%M"],
        show_offset=False,
    )
    axes.xaxis.set_major_locator(when)
    axes.xaxis.set_major_formatter(written)
    axes.set_xlabel(zone.key, fontsize=11.5, color=_QUIET, loc="right", labelpad=2)
    _label_lines(axes, chart, top)


def _label_lines(axes: "Axes", chart: OfflineChart, top: float) -> None:
    """Beside the end of each line stands whose it is, moved apart where two would overlap."""
    whole = chart.whole
    labels = [(whole, f"all {whole.gateways:,}", _INK, "")]
    for line, (colour, mark, _) in zip(chart.worst, _STYLES, strict=False):
        labels.append((line, _legible(line.name, _LABEL), colour, mark))
    labels.sort(key=lambda one: _last(one[0]))
    apart, lowest = top * 0.125, 0.0
    places: list[float] = []
    for line, *_ in labels:
        places.append(max(_last(line), lowest))
        lowest = places[-1] + apart
    too_high = max(places[-1] - top * 0.97, 0.0)
    for index in range(len(places) - 1, -1, -1):
        ceiling = places[index + 1] - apart if index + 1 < len(places) else places[index] - too_high
        places[index] = min(places[index], ceiling)
    for (line, text, colour, mark), place in zip(labels, places, strict=True):
        at = place / top
        axes.plot(
            [1.035],
            [at],
            transform=axes.transAxes,
            color=colour,
            marker=mark or "_",
            ms=9,
            mew=1 if mark else 3,
            clip_on=False,
        )
        beside: dict[str, Any] = {"transform": axes.transAxes, "parse_math": False}
        written = axes.text(
            1.06, at + 0.008, text, color=colour, fontsize=13.5, fontweight="bold", va="bottom", **beside
        )
        _fit(written, PIXELS[0] * 0.24)
        now = f"{line.offline:,} of {line.gateways:,} now"
        axes.text(1.06, at - 0.002, now, color=_QUIET, fontsize=11.5, va="top", **beside)


def _fit(text: "Text", width: float) -> None:
    """Takes letters out of its middle until it is within so many pixels: names often differ at their ends."""
    whole = text.get_text()
    for kept in range(len(whole) - 1, 1, -1):
        if text.get_window_extent().width <= width:
            return
        tail = kept // 3
        text.set_text(f"{whole[: kept - tail].rstrip()}…{whole[len(whole) - tail :].lstrip()}")


def _days(moments: Sequence[datetime]) -> list[float]:
    """As matplotlib counts them."""
    from matplotlib.dates import date2num

    return [float(one) for one in date2num(moments)]  # type: ignore[no-untyped-call]


def _numbers(line: Line) -> list[float]:
    return [float("nan") if share is None else share for share in line.shares]


def _last(line: Line) -> float:
    return next((share for share in reversed(line.shares) if share is not None), 0.0)


# ---- bars
def _draw_bars(axes: "Axes", models: Sequence[ModelFirmware]) -> None:
    """A bar for each version under its model; the newest one is dark."""
    axes.set_position((0.2, 0.05, 0.6, 0.77))
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    longest = max(one.gateways / model.gateways for model in models for one in _bars(model))
    row = 0.0
    for model in models:
        if len(models) > 1:
            _write(
                axes, -0.28, row, f"{_legible(_model(model), _LABEL)} · {model.gateways:,}", 0.9, bold=True
            )
            row += 1
        for number, one in enumerate(_bars(model)):
            share = one.gateways / model.gateways
            length = share / longest
            left_out = number == len(model.versions)
            text = one.version if left_out else _legible(_version(one.version), _LABEL)
            axes.barh(row, length, height=0.68, color=_REST if left_out else _OLD_BAR if number else _BAR)
            _write(axes, -0.02, row, text, 0.17, right=True)
            _write(axes, length + 0.015, row, f"{one.gateways:,} · {_percent(share)}", 0.9)
            row += 1
        row += 0.4
    axes.set_xlim(0, 1)
    axes.set_ylim(max(row, 5.0), -0.7)


def _bars(model: ModelFirmware) -> Sequence[VersionCount]:
    """The versions, and as the last one what is left out."""
    rest = VersionCount(f"{model.left_out:,} more", model.left_out_gateways)
    return (*model.versions, rest) if model.left_out else model.versions


def _write(
    axes: "Axes", x: float, y: float, text: str, room: float, *, bold: bool = False, right: bool = False
) -> None:
    written = axes.text(
        x,
        y,
        text,
        fontsize=13.5,
        fontweight="bold" if bold else "normal",
        color=_INK,
        ha="right" if right else "left",
        va="center",
        parse_math=False,
    )
    _fit(written, PIXELS[0] * room)


# ---- texts
def _legible(text: str, limit: int) -> str:
    """A name as the font can draw it: no controls, none that turn the direction, a box for what it lacks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(weight=weight))) for weight in ("normal", "bold")]
    line = _spoken(text, limit)
    return "".join(one if all(font.get_char_index(ord(one)) for font in fonts) else "□" for one in line)


def _spoken(text: str, limit: int = _SPOKEN) -> str:
    """A name from outside on one line, without characters that are not seen, and not too long."""
    seen = "".join(" " if one.isspace() else one for one in unicodedata.normalize("NFC", text))
    line = " ".join("".join(one for one in seen if unicodedata.category(one)[0] != "C").split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _model(model: ModelFirmware) -> str:
    return f"model {_spoken(model.model)}" if model.model else "no model"


def _version(version: str) -> str:
    return _spoken(version) or "unknown"


def _titled(title: str, query: str) -> str:
    return f"{title}: {_spoken(query)}" if query else title


def _of(query: str) -> str:
    return f" of {_spoken(query)}" if query else ""


def _period(chart: OfflineChart) -> str:
    hours = chart.length / timedelta(hours=1)
    if hours in (1, 24) or hours % 24:
        return f"last {f'{hours:.0f} hours' if hours == 24 else duration(chart.length)}"
    return f"last {count(int(hours // 24), 'day')}"


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%d %b %H:%M}".lstrip("0")


def _percent(share: float) -> str:
    """``0 %``, ``0.4 %``, ``12 %``: never 0 for something, never 100 for less than all."""
    percent = share * 100
    if 0 < percent < 0.1:
        return "under 0.1 %"
    if 99 < percent < 100:
        return f"{min(percent, 99.9):.1f} %"
    return f"{percent:.1f}".removesuffix(".0") + " %" if percent < 10 else f"{percent:.0f} %"
