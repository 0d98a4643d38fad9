"""The training console: charts, their tables, files of a run, earlier runs, very long runs."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.screens import keep_screen
from tests.browser.studio import Studio

TEXT = "the cat sat on the mat, and the dog sat by the door. " * 40
SETTINGS = {
    "steps": 12,
    "max_seq_len": 64,
    "micro_batch_size": 2,
    "eval_fraction": 0.1,
    "eval_every": 4,
    "sample_every": 12,
    "sample_prompt": "the cat",
    "rank_schedule": "progressive",
}
SMALL = ("learning-rate", "gradient-norm", "tokens-per-second", "ranks-in-use")

COLOURS_OF = """async (bytes) => {
  const image = await createImageBitmap(new Blob([Uint8Array.from(bytes)], { type: 'image/png' }));
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  const pixels = new Uint32Array(data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  let seeThrough = 0;
  for (let at = 3; at < data.length; at += 4) seeThrough += data[at] < 255 ? 1 : 0;
  const shares = [...counts.values()].sort((a, b) => b - a).map((count) => count / pixels.length);
  return { width: image.width, height: image.height, seeThrough, colours: counts.size, ground: shares[0] };
}"""  # noqa: E501

TOLD = "rows => rows.map(row => [...row.children].map(part => part.innerText))"

# By how much the ends of two cards' heads differ.
HEADS_AT_RIGHT = """() => {
  const [one, other] = ['plan-open', 'models-open'].map(id => document.getElementById(id).getBoundingClientRect().right);
  return Math.abs(one - other);
}"""  # noqa: E501

# What is wrong with where things stand, at 1366 px in German.
LAYOUT = """() => {
  const all = (query) => [...document.querySelectorAll(query)].filter(e => e.checkVisibility());
  const wrong = [];
  for (const e of all('.chart-title, #run-scroll, #run-table td, #run-table th, .figure dt')) {
    if (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1) wrong.push(`cut: ${e.className} ${e.innerText}`);
  }
  const spread = (query, side) => {
    const places = all(query).map(e => e.getBoundingClientRect()[side]);
    if (places.length && Math.max(...places) - Math.min(...places) > 1) wrong.push(`uneven: ${query} ${places}`);
  };
  spread('.figure dd', 'bottom');
  spread('.first-steps b', 'top');
  spread('.foot-adapter button, .foot-adapter label', 'top');
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth) wrong.push(`the page is ${page.scrollWidth} wide`);
  return wrong;
}"""  # noqa: E501

INK_OF = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, at) => at % 4 === 3 && value > 0).length;
}"""  # noqa: E501

# A run as long as few are, told by the worker's own events.
LONG_HISTORY = """count => {
  const tell = (data) => lab.worker.dispatchEvent(new MessageEvent('message', { data }));
  const step = (step) => ({
    step, loss: 2 + 2 / step + 0.2 * Math.sin(step), grad_norm: 1 + Math.cos(step), learning_rate: 1e-3,
    num_tokens: 128 * step, tokens_per_second: 900 + (step % 90), skipped: false, seconds: 0.14, ranks: null, gpu_busy: null,
  });
  const steps = Array.from({ length: count }, (_, index) => step(index + 1));
  const evaluations = Array.from({ length: count / 100 }, (_, index) => ({ step: 100 * index, loss: 2.2, perplexity: 9 }));
  tell({ type: 'run-history', steps, evaluations, samples: [] });
  lab.more = (extra) => {
    for (let index = 1; index <= extra; index += 1) tell({ type: 'step', ...step(count + index) });
    count += extra;
  };
}"""  # noqa: E501


def close_dialog(studio: Studio) -> None:
    studio.page.keyboard.press("Escape")
    expect(studio.page.locator("dialog[open]")).to_have_count(0)


def prepare(studio: Studio, **settings: Any) -> None:
    studio.change_settings(**{**SETTINGS, **settings})
    studio.paste(TEXT)
    studio.wait_counted()


def train(studio: Studio) -> list[dict[str, Any]]:
    """Train to the end; return the steps once all of them are on the chart."""
    steps = studio.train_to_end()
    expect(studio.get("loss-chart")).to_have_attribute("data-points", str(len(steps)))
    return steps


def saved(studio: Studio, kind: str) -> tuple[str, bytes]:
    """Press CSV or PNG with the keyboard; return the file."""
    button = studio.get(f"export-{kind}")
    button.focus()
    with studio.page.expect_download() as download:
        studio.page.keyboard.press("Enter")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def rows_of(file: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.decode(), newline="")))


def number_of(row: Locator) -> str:
    """Return the number of a listed run."""
    return row.get_attribute("data-run") or ""


def cells(table: Locator) -> list[list[str]]:
    found: list[list[str]] = table.evaluate(
        "table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.innerText))"
    )
    return found


def assert_same_numbers(rows: list[dict[str, str]], steps: list[dict[str, Any]]) -> None:
    """Compare a file's rows with what the worker said, to the last bit."""
    columns = {
        "step": "step",
        "loss (nats/token)": "loss",
        "gradient norm (L2)": "grad_norm",
        "learning rate": "learning_rate",
        "tokens seen": "num_tokens",
        "throughput (tokens/s)": "tokens_per_second",
        "step time (s)": "seconds",
    }
    made = [row for row in rows if row["loss (nats/token)"]]
    assert [{name: float(row[name]) for name in columns} for row in made] == [
        {name: float(step[key]) for name, key in columns.items()} for step in steps
    ]


def test_a_run_in_charts_tables_and_files(tiny: Studio) -> None:
    page = tiny.page
    expect(page.locator("#chart-empty")).to_be_visible()
    expect(tiny.get("export-csv")).to_be_disabled()
    prepare(tiny)
    steps = train(tiny)
    last = steps[-1]

    # Charts: something is drawn on each, and what it shows is said.
    expect(page.locator("#chart-empty")).to_be_hidden()
    for name in SMALL:
        chart = tiny.get(f"chart-{name}")
        expect(chart).to_be_visible()
        assert chart.locator("canvas").evaluate(INK_OF) > 200, name
        assert "over 12 steps: from" in (chart.get_attribute("aria-label") or "")
    assert tiny.get("loss-chart").locator("canvas").evaluate(INK_OF) > 500
    plan = tiny.events("plan")[-1]
    assert tiny.number("epochs") == last["num_tokens"] / plan["num_tokens"]
    expect(page.locator("#key-held-out")).to_be_visible()

    # Ranks by layer, after each of their changes.
    changes = [step for step in steps if step["ranks"]]
    page.locator("#ranks-sum").click()
    select = tiny.get("ranks-step")
    expect(select.locator("option")).to_have_count(len(changes))
    for change in changes:
        select.select_option(str(change["step"]))
        query = next(count for path, count in change["ranks"].items() if "0.self_attn.q" in path)
        first = page.locator("#rank-table tr").nth(1).locator("td").first
        expect(first).to_have_text(re.compile(rf"^{query}\b"))
    page.locator("#ranks-sum").click()

    # Values under the pointer, and by keyboard.
    readout = page.locator("#loss-chart .readout")
    tiny.get("chart-gradient-norm").hover()
    expect(readout).to_contain_text(re.compile(r"Step \d+: loss \d\.\d+, smoothed \d"))
    page.mouse.move(0, 0)
    tiny.get("loss-chart").focus()
    page.keyboard.press("End")
    expect(readout).to_contain_text(re.compile(r"Step 12: .*held-out \d\.\d+.* epochs"))
    page.keyboard.press("ArrowLeft")
    expect(readout).to_contain_text("Step 11:")
    expect(page.locator("#announce")).to_contain_text("Step 11:")

    # A table twin of each chart.
    table = page.locator("#step-table")
    for name in SMALL:
        tiny.get(f"table-{name}").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#table-dialog")).to_be_visible()
        assert [row[0] for row in cells(table)] == [str(step) for step in range(12, 0, -1)]
        close_dialog(tiny)
    page.locator("#table-open").click()
    everything = cells(table)
    assert [row[0] for row in everything] == [str(step) for step in range(12, -1, -1)]
    judged = {event["step"]: event["loss"] for event in tiny.events("evaluation")[-4:]}
    assert list(judged) == [0, 4, 8, 12]
    for row in everything:
        loss = judged.get(int(row[0]))
        assert row[-1] == ("" if loss is None else f"{loss:.3f}")
    close_dialog(tiny)

    # Files.
    name, file = saved(tiny, "csv")
    assert re.fullmatch(r"Tiny-Random-\d{4}-\d\d-\d\d-run-\d+\.csv", name)
    rows = rows_of(file)
    assert_same_numbers(rows, steps)
    held_out = {
        int(row["step"]): float(row["held-out loss (nats/token)"])
        for row in rows
        if row["held-out loss (nats/token)"]
    }
    assert held_out == judged
    samples = [event["text"] for event in tiny.events("sample")[-2:]]
    assert [row["sample text"] for row in rows if row["sample prompt"]] == samples
    assert "layers.0.self_attn.q_proj" in file.decode()  # ranks, where they change
    name, picture = saved(tiny, "png")
    assert name.endswith(".png")
    seen = page.evaluate(COLOURS_OF, list(picture))
    assert seen["width"] >= 1200
    assert seen["height"] >= 700
    assert seen["seeThrough"] == 0
    assert seen["colours"] > 20
    assert 0.5 < seen["ground"] < 0.99


def test_a_second_run_keeps_the_first(tiny: Studio) -> None:
    page = tiny.page
    prepare(tiny, learning_rate=0.01)
    first = train(tiny)
    _, before = saved(tiny, "csv")
    tiny.change_settings(learning_rate=0.03, steps=8)
    second = train(tiny)
    expect(tiny.get("runs")).to_be_visible()
    runs = page.locator("#run-table tr[data-run]")
    current, earlier = runs.nth(0), runs.nth(1)  # the newest first
    expect(earlier).to_contain_text("Learning rate 0.01")
    expect(current).to_contain_text("Learning rate 0.03")
    expect(current.get_by_role("radio")).to_be_checked()
    keep_screen(tiny.page, "console")

    # Its curve lies behind the current one, until it is not wanted there.
    canvas = tiny.get("loss-chart").locator("canvas")
    with_others = canvas.evaluate(INK_OF)
    boxes = runs.locator("input[type=checkbox]:enabled")
    for index in range(boxes.count()):
        boxes.nth(index).uncheck()
    page.wait_for_function(
        f"([canvas, ink]) => ({INK_OF})(canvas) !== ink", arg=[canvas.element_handle(), with_others]
    )

    # And it can be shown as it was.
    earlier.get_by_role("radio").check()
    expect(tiny.get("loss-chart")).to_have_attribute("data-points", str(len(first)))
    expect(tiny.get("shown-run")).to_be_visible()
    assert saved(tiny, "csv")[1] == before
    assert_same_numbers(rows_of(before), first)
    assert tiny.number("step") == len(second)  # the figures stay those of the current run
    page.locator("#shown-run-back").click()
    expect(tiny.get("loss-chart")).to_have_attribute("data-points", str(len(second)))
    assert_same_numbers(rows_of(saved(tiny, "csv")[1]), second)

    # What it was made with, in words; nothing is cut, hidden in a box, or lengthens the page.
    current.locator(".run-open").click()
    told = dict(
        page.locator(f"#run-more-{number_of(current)} .run-settings div").evaluate_all(TOLD)
    )
    assert told["Projections"] == "All seven projections"
    assert told["Rank-stabilised scale"] == "no"
    assert (told["Steps"], told["Learning rate"]) == ("8", "0.03")
    assert not {"Passes over the text", "Device memory, in GB"} & set(told)
    assert not [value for value in told.values() if value in ("undefined", "not set", "")]
    usual = page.viewport_size
    assert usual
    page.set_viewport_size({"width": 1366, "height": 900})
    tiny.get("language").select_option("de")
    tiny.get("first-open").click()
    expect(tiny.get("first")).to_be_visible()
    page.evaluate("document.querySelectorAll('#console details').forEach(d => { d.open = true; })")
    expect(page.locator("#run-table thead")).to_contain_text("Unterschied")
    assert page.evaluate(LAYOUT) == []
    tiny.get("first-close").click()
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    tiny.get("language").select_option("en")
    page.set_viewport_size(usual)


def test_sixty_thousand_steps_are_all_kept_and_few_of_them_drawn(tiny: Studio) -> None:
    page = tiny.page
    prepare(tiny, steps=2, eval_every=0, sample_every=0, rank_schedule="fixed")
    train(tiny)
    page.evaluate(LONG_HISTORY, 60_000)
    chart = tiny.get("loss-chart")
    expect(chart).to_have_attribute("data-points", "60000")
    page.evaluate("lab.more(50)")
    expect(chart).to_have_attribute("data-points", "60050")
    assert int(chart.get_attribute("data-drawn") or "0") < 2500  # of them and 601 evaluations

    # A tab that nobody sees draws nothing, and all of it when it is looked at.
    hide = (
        "hidden => Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })"
    )
    page.evaluate(hide, arg=True)
    page.evaluate("lab.more(50)")
    expect(tiny.get("step")).to_have_text("60,100")
    assert chart.get_attribute("data-points") == "60050"
    page.evaluate(hide, arg=False)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(chart).to_have_attribute("data-points", "60100")

    # The table turns its pages, and the file has every step.
    page.locator("#table-open").click()
    expect(page.locator("#table-range")).to_have_text("Rows 1 to 500 of 60,101")
    page.locator("#table-older").click()
    expect(page.locator("#table-range")).to_have_text("Rows 501 to 1,000 of 60,101")
    close_dialog(tiny)
    rows = rows_of(saved(tiny, "csv")[1])
    assert [row["step"] for row in rows] == [str(step) for step in range(60_101)]


def test_how_busy_the_gpu_is_was_measured(tiny: Studio) -> None:
    prepare(tiny, steps=100_000, eval_every=0, sample_every=0, rank_schedule="fixed")
    usual = tiny.page.viewport_size
    assert usual
    tiny.page.set_viewport_size({"width": 390, "height": 844})
    tiny.train()
    # On a phone a run is in view from its head on, and what holds it is at hand, focus included.
    expect(tiny.get("pause")).to_be_focused(timeout=60_000)
    expect(tiny.get("stop")).to_be_in_viewport()
    expect(tiny.page.locator("#console-title")).to_be_in_viewport()
    tiny.page.wait_for_function(
        "() => lab.events.filter(e => e.type === 'step' && e.gpu_busy !== null && e.gpu_busy !== undefined).length >= 3",  # noqa: E501
        timeout=90_000,
        polling=50,
    )
    expect(tiny.get("gpu-busy")).to_be_visible()
    assert 0 < tiny.number("gpu-busy") <= 1
    expect(tiny.page.locator("#figure-busy")).to_have_attribute("title", re.compile("own clock"))
    # Who types meanwhile is not called away when it ends.
    tiny.get("chat-input").focus()
    tiny.page.evaluate("document.getElementById('stop').click()")
    expect(tiny.page.locator("#finish")).to_be_visible(timeout=60_000)
    tiny.wait_status("ready")
    expect(tiny.get("train")).to_be_enabled(timeout=60_000)
    expect(tiny.get("chat-input")).to_be_focused()
    assert tiny.page.evaluate(HEADS_AT_RIGHT) < 1
    tiny.page.set_viewport_size(usual)
    shares = [step["gpu_busy"] for step in tiny.events("step") if step.get("gpu_busy") is not None]
    assert all(0 < share <= 1 for share in shares)
    print(shares)
    rows = rows_of(saved(tiny, "csv")[1])
    told = [float(row["GPU busy (share of 1)"]) for row in rows if row["GPU busy (share of 1)"]]
    assert told == shares[-len(told) :]
