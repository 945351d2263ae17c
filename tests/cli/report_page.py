"""report_page.py PAGE STUDY: recomputes every number of a page from the records, then uses the page in Chromium if there is one.

Needs the standard library alone. The runs are of one program, with a static run of 8 bits for each seed.
"""
import html.parser
import itertools
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

faults = 0


def check(ok, *what):
    global faults
    if not ok:
        faults += 1
        print("FAULT:", *what)


def close(got, expected, what):
    check(math.isclose(float(got), expected, rel_tol=1e-9, abs_tol=1e-12), what, got, "instead of", expected)


# --- the records ---------------------------------------------------------------------------------

def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def read(directory):
    config = json.loads((directory / "config.json").read_text())
    steps, evals = lines(directory / "steps.jsonl"), lines(directory / "evals.jsonl")
    last = config["resolved"]["steps_per_epoch"]
    return {
        "name": directory.name, "options": config["options"], "steps": steps, "evals": evals, "probe": lines(directory / "probe.jsonl"),
        "score": [row["score"] for row in evals if row["split"] == "test"][-1],
        "loss": mean([row["loss"] for row in steps[-last:]]),
        "bit_ops": sum(int(row["bit_ops"]) for row in steps),
        "seconds": sum(row["seconds"] for row in steps + evals),
    }


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    return math.sqrt(sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1))


def within(t, freedom):
    """P(-t <= T <= t), by Simpson's rule over x = sqrt(n) tan(a)."""
    end, pieces = math.atan(t / math.sqrt(freedom)), 4000
    values = [math.cos(end * i / pieces) ** (freedom - 1) for i in range(pieces + 1)]
    integral = (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2])) * end / pieces / 3
    return 2 * integral * math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(math.pi)


def student(freedom):
    low, high = 0.0, 100.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, freedom) < 0.95 else (low, middle)
    return low


# --- the page ------------------------------------------------------------------------------------

class Page(html.parser.HTMLParser):
    """Rows of tables, with the id of the figure or table that they are in."""

    def __init__(self):
        super().__init__()
        self.place, self.rows, self.cell, self.marks = "", [], None, []
        self.configuration, self.addresses = None, []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.addresses += [attributes[name] for name in ("src", "href", "action") if name in attributes]
        if tag in ("figure", "section") or attributes.get("id") == "comparison":
            self.place = attributes.get("id", self.place)
        if tag == "tbody":
            self.configuration = attributes.get("data-c")
        if tag == "tr":
            self.rows.append({"place": self.place, "class": attributes.get("class", ""), "cells": [],
                              "run": attributes.get("data-r"), "configuration": self.configuration})
        if tag in ("td", "th"):
            self.cell = {"text": "", **attributes}
            self.rows[-1]["cells"].append(self.cell)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, text):
        if self.cell is not None:
            self.cell["text"] += text


def keyed(row):
    return {cell["data-k"]: cell for cell in row["cells"] if "data-k" in cell}


def recompute(page, runs):
    by_name = {run["name"]: run for run in runs}
    configurations = {}
    for row in page.rows:
        if row["run"]:
            configurations.setdefault(row["configuration"], []).append(by_name[row["run"]])
    check(sum(map(len, configurations.values())) == len(runs), "runs are missing")
    baseline = {run["options"]["seed"]: run for run in runs if run["options"]["schedule"] == "static"}
    points = {}
    for row in page.rows:
        if row["run"]:
            run, cells = by_name[row["run"]], keyed(row)
            reference = baseline[run["options"]["seed"]]
            close(cells["run-score"]["data-value"], run["score"], row["run"])
            close(cells["run-cost"]["data-value"], run["bit_ops"] / reference["bit_ops"], row["run"])
            close(cells["run-seconds"]["data-value"], run["seconds"], row["run"])
            if run is not reference:
                close(cells["run-difference"]["data-value"], run["score"] - reference["score"], row["run"])
        if row["class"] != "config":
            continue
        members, cells = configurations[row["configuration"]], keyed(row)
        name = members[0]["options"]["schedule"]
        scores = [run["score"] for run in members]
        close(cells["n"]["data-value"], len(members), name)
        close(cells["score"]["data-value"], mean(scores), name)
        close(cells["score"]["data-sd"], deviation(scores), name)
        check(f"{100 * mean(scores):.2f}" in cells["score"]["text"], name, "shows", cells["score"]["text"])
        close(cells["loss"]["data-value"], mean([run["loss"] for run in members]), name)
        close(cells["seconds"]["data-value"], mean([run["seconds"] for run in members]), name)
        cost = mean([run["bit_ops"] / baseline[run["options"]["seed"]]["bit_ops"] for run in members])
        close(cells["cost"]["data-value"], cost, name)
        points[name] = (cost, mean(scores), "front" in row["cells"][0]["text"])
        if name == "static":
            check(cells["separates"]["text"] == "baseline", "static is not the baseline")
            continue
        differences = [run["score"] - baseline[run["options"]["seed"]]["score"] for run in members]
        half = student(len(differences) - 1) * deviation(differences) / math.sqrt(len(differences))
        low, high = mean(differences) - half, mean(differences) + half
        close(cells["difference"]["data-value"], mean(differences), name)
        close(cells["difference"]["data-low"], low, name)
        close(cells["difference"]["data-high"], high, name)
        verdict = "better" if low > 0 else "worse" if high < 0 else "no"
        check(verdict in cells["separates"]["text"], name, "separates:", cells["separates"]["text"])
    for name, (cost, score, front) in points.items():
        beaten = any(c <= cost and s >= score and (c < cost or s > score) for c, s, _ in points.values())
        check(front != beaten, name, "is on the front:", front)
    tables = {}
    for row in page.rows:
        tables.setdefault(row["place"], []).append([cell.get("data-value", cell["text"]) for cell in row["cells"]])
    for name, n, score, sd, cost, front in tables["pareto"][1:]:
        close(cost, points[name][0], name)
        close(score, points[name][1], name)
        check((front == "yes") == points[name][2], name, "front in the values:", front)
    schedules = {run["options"]["schedule"]: [] for run in runs}
    for run in runs:
        schedules[run["options"]["schedule"]].append(run)
    for name, updates, n, loss, score, sd in tables["curves"][1:]:
        rows = [row for run in schedules[name] for row in run["evals"] if row["iteration"] == int(float(updates))]
        close(loss, mean([row["loss"] for row in rows]), name)
        close(score, mean([row["score"] for row in rows]), name)
        close(sd, deviation([row["score"] for row in rows]), name)
    for name in schedules:
        total = sum(int(cell) for row in tables["cost"][1:] if row[0] == name for cell in row[2:])
        check(total == schedules[name][0]["bit_ops"], name, "bit-operations by layer add to", total)
    check(len(tables["quality"]) > len(schedules), "no quality")
    seen = 0
    for name, what, form, sqnr, ends, underflow, bits in tables["probe"][1:]:
        rows = [row for row in schedules[name][0]["probe"]
                if row["format"] == form and f"{row['site']} {row.get('product') or row['role']}" == what]
        seen += len(rows)
        if bits:
            close(bits, max(row["sum_bits"] for row in rows), what)
        else:
            close(sqnr, min(math.inf if row["sqnr_db"] is None else row["sqnr_db"] for row in rows), what)
            close(ends, max(row["at_ends"] for row in rows), what)
            close(underflow, max(row["underflow"] for row in rows), what)
    check(seen == sum(len(runs[0]["probe"]) for runs in schedules.values()) > 0, "probe:", seen, "rows")
    check(not [a for a in page.addresses if not a.startswith(("#", "data:"))], "addresses", page.addresses)


# --- the browser ---------------------------------------------------------------------------------

class Browser:
    """Chromium over its debugging pipe: messages of JSON that end with a NUL."""

    def __init__(self, program, profile):
        to_read, self.write_end = os.pipe()
        self.read_end, to_write = os.pipe()

        def wire():  # the browser reads descriptor 3 and writes 4
            a, b = os.dup(to_read), os.dup(to_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}",
             "--window-size=1400,1000"], preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.buffer, self.ids, self.events, self.session = b"", itertools.count(1), [], None

    def receive(self):
        while b"\0" not in self.buffer:
            piece = os.read(self.read_end, 1 << 20)
            if not piece:
                raise EOFError("the browser went away")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.receive())

    def run(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def move(self, point, *kinds):
        for kind in kinds:
            self.call("Input.dispatchMouseEvent", type=kind, x=point[0], y=point[1], button="left", clickCount=1)


def place(browser, selector):
    """The middle of an element, brought into view."""
    return browser.run(f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
        e.scrollIntoView({{block: 'center', behavior: 'instant'}});
        const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()""")


def use(browser, path):
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    browser.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Network", "Runtime", "Log", "Page"):
        browser.call(domain + ".enable")
    browser.call("Page.navigate", url=path.resolve().as_uri())
    browser.wait_for("Page.loadEventFired")

    # Sorting: by number, both ways.
    costs = "[...document.querySelectorAll('tr.config [data-k=cost]')].map((cell) => Number(cell.dataset.value))"
    for expected in (sorted, lambda values: sorted(values, reverse=True)):
        browser.run("document.querySelector('.sort[data-key=cost]').click()")
        got = browser.run(costs)
        check(got == expected(got) and len(got) == 3, "sorted by cost:", got)
    check(browser.run("document.querySelector('[aria-sort=descending] .sort').dataset.key") == "cost", "aria-sort")

    # Filtering hides rows, and fades figures.
    shown = "[...document.querySelectorAll('tbody.c')].filter((body) => body.offsetParent).map((body) => body.dataset.c)"
    browser.run("const f = document.querySelector('#filter'); f.value = 'cr'; f.dispatchEvent(new Event('input'))")
    check(len(browser.run(shown)) == 1, "filtered:", browser.run(shown))
    check(browser.run("document.querySelectorAll('#pareto svg.wide .c.out').length") > 0, "figures do not follow the filter")
    browser.run("document.querySelector('#filter').value = ''; document.querySelector('#filter').dispatchEvent(new Event('input'))")
    check(len(browser.run(shown)) == 3, "no filter:", browser.run(shown))

    # Rows open to their runs.
    visible = "[...document.querySelectorAll('tr.r')].filter((row) => row.offsetParent).length"
    check(browser.run(visible) == 0, "runs are open")
    browser.run("document.querySelector('.expand').click()")
    check(browser.run(visible) == 3, "runs do not open:", browser.run(visible))

    # The pointer lights a configuration everywhere; a click keeps it.
    lit = "[...new Set([...document.querySelectorAll('.c.lit')].map((e) => e.dataset.c))]"
    mark = "#pareto svg.wide .c[data-c=c0] .mark"
    browser.move(place(browser, mark), "mouseMoved")
    check(browser.run(lit) == ["c0"], "lit by the pointer:", browser.run(lit))
    check(browser.run("document.querySelectorAll('#curves .c.lit').length") > 0, "curves are not lit")
    check(not browser.run("document.querySelector('#chosen').hidden"), "nothing is told of it")
    browser.move([3, 3], "mouseMoved")
    check(browser.run(lit) == [], "still lit:", browser.run(lit))
    browser.move(place(browser, mark), "mouseMoved", "mousePressed", "mouseReleased")
    browser.move([3, 3], "mouseMoved")
    check(browser.run(lit) == ["c0"], "not kept by a click:", browser.run(lit))
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape", windowsVirtualKeyCode=27)
    check(browser.run(lit) == [], "Escape:", browser.run(lit))

    # The command of a run is copied, and is one that a shell reads.
    browser.run("window.copied = ''; document.addEventListener('copy', () => { window.copied = getSelection().toString(); });"
                "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.copied = text; }}})")
    browser.run("document.querySelector('.copy').click()")
    check(browser.run("window.copied").startswith("ebb-mlp --"), "copied:", browser.run("window.copied"))

    check(browser.run("document.querySelector('#theme').click(), document.documentElement.dataset.theme") in ("dark", "light"), "theme")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for width in (1400, 800, 400):
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        check(browser.run(overflow) <= 0, "wider than", width, ":", browser.run(overflow))

    for event in browser.events:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            address = params["request"]["url"]
            check(address.startswith(("file:", "data:")) and "page.html" in address or address == "data:,", "a request:", address)
        check(method not in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"), "the console:", event)


def main():
    path, study = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    page = Page()
    page.feed(path.read_text())
    recompute(page, [read(each) for each in sorted(study.iterdir()) if (each / "config.json").exists()])
    program = shutil.which("chromium")
    if program is None:
        print("no chromium: the page was not used")
    else:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            browser = Browser(program, profile)
            try:
                use(browser, path)
            finally:
                browser.process.kill()
                browser.process.wait()
    sys.exit(faults > 0)


main()
