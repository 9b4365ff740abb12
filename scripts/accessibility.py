"""Hold pages against axe-core in a headless Chromium: `python scripts/accessibility.py FILE...`

Needs `chromium` on the path and axe-core from npm (`npm install --prefix /tmp/axe axe-core`, or
another folder in $AXE). Each page is looked at light and dark, on a desktop and on a phone, with
every chart drawn and every detail open. Exit code 1: a fault, or an error on the console.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

AXE = Path(os.environ.get("AXE", "/tmp/axe")) / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = ("chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
            "--remote-debugging-port=0", "about:blank")  # fmt: skip
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
LOADED = """new Promise((done) => {
  if (document.readyState === "complete") done();
  else addEventListener("load", () => done());
})"""
DRAWN = """new Promise(async (done) => {
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  const plots = [...document.querySelectorAll(".plot")];
  for (const plot of plots) {
    plot.scrollIntoView();
    for (let i = 0; i < 200 && !plot.querySelector(".main-svg"); i++)
      await new Promise((later) => setTimeout(later, 50));
  }
  scrollTo(0, 0);
  done(plots.every((plot) => plot.querySelector(".main-svg")));
})"""
FAULTS = """axe.run().then((found) => JSON.stringify(found.violations.map((each) => [
  each.impact, each.id, each.help,
  each.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)),
])))"""


class Browser:
    """A page of Chromium over its debugging protocol; real time, as charts are unpacked in it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._number = socket, 0
        self.console: list[str] = []

    async def ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            told = json.loads((await self._socket.receive()).data)
            if told.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.console.append(json.dumps(told["params"])[:400])
            if told.get("id") == self._number:
                return told["result"]

    async def value(self, script: str) -> Any:
        found = await self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        return found["result"].get("value")


async def faults(browser: Browser, address: str, width: int, scheme: str) -> list[str]:
    """What is wrong with a page as it looks there."""
    browser.console.clear()
    await browser.ask(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    await browser.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
    )  # fmt: skip
    await browser.ask("Page.navigate", url=address)
    await browser.value(LOADED)
    found = [] if await browser.value(DRAWN) else ["a chart was not drawn"]
    await browser.value(AXE.read_text(encoding="utf-8") + "; true")
    found += [
        f"{impact}: {rule}: {words} {nodes}"
        for impact, rule, words, nodes in json.loads(await browser.value(FAULTS))
    ]
    wide = await browser.value("document.documentElement.scrollWidth")
    if wide > width:
        found.append(f"the page is {wide} px wide on a screen of {width}")
    return found + [f"console: {text}" for text in browser.console]


async def check(browser_at: str, pages: list[str]) -> int:
    """The number of faults of all pages in all views."""
    num = 0
    async with aiohttp.ClientSession() as session:
        async with session.put(f"http://{browser_at}/json/new?about:blank") as reply:
            target = await reply.json()
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            browser = Browser(socket)
            for domain in ("Page", "Runtime", "Log"):
                await browser.ask(f"{domain}.enable")
            for page in pages:
                for width, scheme in VIEWS:
                    found = await faults(browser, page, width, scheme)
                    num += len(found)
                    print(f"{page} {width} {scheme}: {'; '.join(found) or 'no fault'}", flush=True)
    return num


def main(pages: list[Path]) -> int:
    if not pages or not AXE.exists():
        print(__doc__, file=sys.stderr)
        return 2
    addresses = [page.resolve().as_uri() for page in pages]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = (*CHROMIUM, f"--user-data-dir={profile}")
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as chromium:
            assert chromium.stderr is not None
            listening = next(line for line in chromium.stderr if "listening on" in line)
            try:
                num = asyncio.run(check(listening.split("//")[1].split("/")[0], addresses))
            finally:
                chromium.terminate()
    return 1 if num else 0


if __name__ == "__main__":
    raise SystemExit(main([Path(each) for each in sys.argv[1:]]))
