"""Takes the pictures of deploy/screenshots: python tests/dashboard/take_pictures.py [FOLDER].

They are of the demo's lender, right after its lever fired, in a real browser. Pillow is wanted, as for a PDF.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import conftest  # noqa: F401 - where the other tests' kits are
import trio
from browser_kit import open_page
from PIL import Image
from test_dashboard_node import HOOKS, LENDER, Night, Verb, open_night, see_the_drain, sign_in

WIDE, PHONE = (1280, 900), (390, 844)
MAX_HEIGHT = 1_250
COLOURS = 96
# name, place, what is there once all is, dark, on a phone
PICTURES = (
    ("now", "#/", "contained", False, False),
    ("waiting", "#/waiting", "Sign it on your own machine", False, False),
    ("incident-dark", "incident", "contained, posterior", True, False),
    ("signal", "signal", "Save the proof", False, False),
    ("node-dark", "#/node", "3 of 3 others cosigned", True, False),
    ("phone-dark", "#/", "Held", True, True),
)


async def take(folder: Path) -> None:
    """The demo's first night, until everything that is pictured is there."""
    with tempfile.TemporaryDirectory() as data:
        async with open_page() as page, open_night(Path(data), page) as night:
            await sign_in(night)
            await night.cast.nodes[LENDER].ask(Verb.ARM, hook=HOOKS[LENDER])
            await night.attack()
            await see_the_drain(night)
            await page.click(".incidents li.bad a")
            incident = await page.evaluate("location.hash")
            await page.click("[data-do=ask-step]")
            await page.wait_text("Sign it on your own machine", "main")
            await page.go(incident)
            await page.wait("!!document.querySelector('main a[href^=\"#/signal/\"]')")
            signal = await page.evaluate("document.querySelector('main a[href^=\"#/signal/\"]').hash")
            for name, place, text, dark, phone in PICTURES:
                at = {"incident": incident, "signal": signal}.get(place, place)
                await picture(night, folder / f"{name}.png", at, text, dark=dark, phone=phone)


async def picture(night: Night, path: Path, place: str, text: str, *, dark: bool, phone: bool) -> None:
    """One page, as high as it is, up to a bound."""
    page, (width, height) = night.page, PHONE if phone else WIDE
    await page.look(width, height, dark=dark, phone=phone)
    await page.go(place)
    await page.wait_text(text, "main")
    whole = int(await page.evaluate("document.documentElement.scrollHeight"))
    await page.look(width, max(height, min(whole, MAX_HEIGHT)), dark=dark, phone=phone)
    await page.check_accessible()
    await page.picture(path)
    shrink(path)


def shrink(path: Path) -> None:
    """To a third of its size: the commonest colours stay as they are, the edges of letters take the nearest of them."""
    image, palette = Image.open(path).convert("RGB"), Image.new("P", (1, 1))
    common = sorted(image.getcolors(image.width * image.height), reverse=True)[:COLOURS]
    palette.putpalette([part for _, colour in common for part in colour])
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    default = Path(__file__).parents[2] / "deploy" / "screenshots"
    trio.run(take, Path(sys.argv[1]) if len(sys.argv) > 1 else default)
