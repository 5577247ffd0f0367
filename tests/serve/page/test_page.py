"""The page in a real browser: models are found, asked and answered, by mouse, keyboard and picture."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gantline
from tests.serve.key_table import BOSS, SOME, key_table, write_keys
from tests.serve.page.chromium import PROGRAM, Chromium

if TYPE_CHECKING:
    from tests.serve.conftest import Running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium: apt-get install chromium"),
]
RED, BLUE = (230, 20, 30), (10, 40, 220)
# the first answer of one address comes late, and then window.late is set
LATE = """
const own = fetch; let held = false;
window.fetch = async (path, init) => {
  const got = await own(path, init);
  if (held || !path.includes('PART')) return got;
  held = true;
  await new Promise((done) => setTimeout(done, 300));
  setTimeout(() => { window.late = true; }, 100);
  return got;
};
"""
SCRIPT = """
import json

def init():
    pass

def run(raw_data):
    return {"sum": sum(json.loads(raw_data)["data"])}
"""


def png(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> Path:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(colour) * size[0]) * size[1]
    head = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


def picture_model(root: Path, name: str, kind: str, shape: list[Any], axes: list[int], labels: list[str]) -> None:
    """NAME/1: a picture -> the mean of each of its channels, which have names."""
    import onnx

    h, floats = onnx.helper, onnx.TensorProto.FLOAT
    channels = len(labels)
    nodes = [
        h.make_node("Cast", ["image"], ["f"], to=floats),
        h.make_node("ReduceMean", ["f"], ["scores"], axes=axes, keepdims=0),
    ]
    taken = h.make_tensor_value_info("image", getattr(onnx.TensorProto, kind), ["N", *shape])
    graph = h.make_graph(nodes, "g", [taken], [h.make_tensor_value_info("scores", floats, ["N", channels])])
    folder = root / name / "1"
    folder.mkdir(parents=True)
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    datatype = {"FLOAT": "TYPE_FP32", "UINT8": "TYPE_UINT8"}[kind]
    (root / name / "config.pbtxt").write_text(
        f'max_batch_size: 8 input [ {{ name: "image" data_type: {datatype} dims: {shape} }} ]\n'
        f'output [ {{ name: "scores" data_type: TYPE_FP32 dims: [ {channels} ] label_filename: "labels.txt" }} ]\n'
    )
    (root / name / "labels.txt").write_text("\n".join(labels) + "\n")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, zoo: Path) -> list[Path]:
    """colours (NCHW FP32), tints (NHWC UINT8), shade (one channel), a large one, double (golden), adder (a script)."""
    root = tmp_path_factory.mktemp("models")
    colours = ["red", "green", "blue"]
    picture_model(root / "pictures", "colours", "FLOAT", [3, 16, 16], [2, 3], colours)
    picture_model(root / "pictures", "tints", "UINT8", [16, 24, 3], [1, 2], colours)
    picture_model(root / "pictures", "shade", "FLOAT", [1, 28, 28], [2, 3], ["light"])
    rows = root / "rows.csv"
    rows.write_text("a,b,c\n" + "1.5,2,3\n" * 10)
    gantline.package(zoo / "double.onnx", name="double", sample=rows, output=root / "double.pkg")
    (root / "score.py").write_text(SCRIPT)
    (root / "body.json").write_text('{"data": [1, 2, 39]}')
    gantline.package(
        script=root / "score.py", name="adder", env="current", sample=root / "body.json", output=root / "adder.pkg"
    )
    return [root / "pictures", root / "double.pkg", root / "adder.pkg"]


@pytest.fixture(scope="module")
def url(servers: Callable[..., Running], models: list[Path]) -> str:
    return servers(*models).url


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def page(browser: Chromium) -> Iterator[Chromium]:
    """The browser, which must find nothing wrong."""
    browser.size(1200, 900)
    browser.scheme("light")
    yield browser
    assert browser.complaints() == []


def opened(page: Chromium, url: str, name: str) -> None:
    page.go(f"{url}/docs#{name}")
    page.until(f"document.querySelector('h1')?.textContent === '{name}' && document.querySelector('#request')?.value")


def answered(page: Chromium) -> None:
    page.until("document.querySelector('.answer-line')?.dataset.status === '200'")


def test_the_golden_sample_is_sent_and_answered(page: Chromium, url: str) -> None:
    opened(page, url, "double")
    assert json.loads(page.js("document.querySelector('#request').value"))["inputs"][0]["data"] == [1.5, 2, 3]
    assert "golden sample" in page.text("#request-note")
    page.click("#send")
    answered(page)
    assert '"data": [3, 4, 6]' in page.text("#answer pre") and " ms" in page.text(".answer-line")
    assert "FP32" in page.text("table") and "sha256:" in page.text("dl")


def test_it_is_sent_by_the_keyboard_alone(page: Chromium, url: str) -> None:
    page.go(f"{url}/docs")
    page.until("document.querySelectorAll('#models a').length === 5")
    for _ in range(30):
        page.key("Tab", 9)
        if page.js("document.activeElement.dataset?.name") == "double":
            break
    page.key("Enter", 13, text="\r")
    page.until("document.querySelector('#request')?.value")
    page.js("document.querySelector('#request').focus()")
    page.key("Enter", 13, modifiers=2)
    answered(page)
    assert page.text("#status").startswith("200 answered")  # what a screen reader is told


def test_a_bad_request_says_what_is_wrong(page: Chromium, url: str) -> None:
    opened(page, url, "double")
    page.fill("#request", '{"inputs": []}')
    page.click("#send")
    page.until("document.querySelector('.answer-line')?.dataset.status === '400'")
    assert "input 'x' is missing" in page.text("#answer")
    page.events.clear()  # browsers log every 400


def test_other_faces_fill_in_their_own_examples(page: Chromium, url: str) -> None:
    opened(page, url, "double")
    at = page.js(
        "[...document.querySelectorAll('section select option')].findIndex(o => o.textContent.endsWith('/generate'))"
    )
    page.fill("section select", str(at))
    page.until("JSON.parse(document.querySelector('#request').value).x")
    page.click("#send")
    answered(page)
    opened(page, url, "adder")
    page.click("#send")
    answered(page)
    assert '"sum": 42' in page.text("#answer pre")


@pytest.mark.parametrize("name", ["colours", "tints"])
@pytest.mark.parametrize(("colour", "label"), [(RED, "red"), (BLUE, "blue")])
@pytest.mark.parametrize("way", ["binary", "json"])
def test_a_picture_is_answered(
    page: Chromium, url: str, name: str, colour: tuple[int, int, int], label: str, way: str, tmp_path: Path
) -> None:
    opened(page, url, name)
    page.choose_file(".drop input", png(tmp_path / "one.png", colour))
    page.until("document.querySelector('.drop .said').textContent.includes('40 x 30')")
    page.fill("select:has(option[value=json])", way)
    binary = "true" if way == "binary" else "false"
    page.until(f"document.querySelector('#request').value.includes('binary_data_size') === {binary}")
    page.click("#send")
    answered(page)
    first = page.text(".bars li")
    score = max(colour) / (255 if name == "colours" else 1)
    assert first.split()[0] == label and float(first.split()[-1]) == pytest.approx(score, abs=0.01)
    assert ("request.bin" in page.text("#snippet")) == (way == "binary")


def test_a_picture_may_be_dropped(page: Chromium, url: str, tmp_path: Path) -> None:
    opened(page, url, "shade")
    data = list(png(tmp_path / "one.png", (255, 255, 255)).read_bytes())
    page.js(
        f"(() => {{ const file = new File([new Uint8Array({data})], 'a.png', {{type: 'image/png'}});"
        "const dataTransfer = new DataTransfer(); dataTransfer.items.add(file);"
        "const drop = new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true});"
        "document.querySelector('.drop').dispatchEvent(drop); })()"
    )
    page.until("document.querySelector('.drop .said').textContent.includes('FP32 [1, 1, 28, 28]')")
    page.click("#send")
    answered(page)
    assert float(page.text(".bars li").split()[-1]) == pytest.approx(1.0)


def test_a_key_is_asked_for_and_kept_nowhere(
    page: Chromium, servers: Callable[..., Running], models: list[Path], tmp_path: Path
) -> None:
    server = servers(*models, keys=write_keys(tmp_path, key_table("double")))
    page.go(f"{server.url}/docs#double")
    page.until("document.querySelector('#key-dialog').open")
    page.fill("#key", SOME)
    page.click("#key-dialog .primary")
    page.until("document.querySelector('#request')?.value")
    page.until("document.querySelectorAll('#models a').length === 1")
    page.click("#send")
    answered(page)
    assert "$GANTLINE_KEY" in page.text("#snippet") and SOME not in page.js("document.documentElement.outerHTML")
    kept = "[localStorage.length, sessionStorage.length, document.cookie, document.querySelector('#key').value]"
    assert page.js(kept) == [0, 0, "", ""]
    page.events.clear()  # the 401 that it began with


def test_links_are_followed_with_the_key(servers: Callable[..., Running], models: list[Path], tmp_path: Path) -> None:
    """By the keyboard: the key is typed, Enter uses it, Enter on a link opens what it leads to in a tab of its own."""
    server = servers(*models, keys=write_keys(tmp_path, key_table("double")))
    with Chromium(tmp_path / "profile") as page:
        page.go(f"{server.url}/docs#double")
        page.until("document.querySelector('#key-dialog').open && document.activeElement.id === 'key'")
        page.call("Input.insertText", text=BOSS)
        page.key("Enter", 13, text="\r")
        page.until("document.querySelector('#request')?.value")
        page.js("document.querySelector('nav.documents a').focus()")
        page.key("Enter", 13, text="\r")
        assert "openapi" in json.loads(page.other_tab(f"blob:{server.url}/"))


def test_a_late_answer_does_not_ask_for_the_key_again(
    page: Chromium, servers: Callable[..., Running], models: list[Path], tmp_path: Path
) -> None:
    """The list and the model are asked for at once, without a key; one of the refusals comes when the key is there."""
    server = servers(*models, keys=write_keys(tmp_path, key_table("double")))
    page.go(f"{server.url}/docs")
    page.until("document.querySelector('#key-dialog').open")
    page.js(f"(() => {{ {LATE.replace('PART', '/docs/models/double')} }})()")
    page.js("location.hash = '#double'")
    page.fill("#key", SOME)
    page.click("#key-dialog .primary")
    page.until("document.querySelector('#request')?.value && window.late")
    assert not page.js("document.querySelector('#key-dialog').open")
    page.events.clear()  # the 401s


def test_the_model_chosen_last_is_shown(page: Chromium, url: str) -> None:
    opened(page, url, "double")
    page.js(f"(() => {{ {LATE.replace('PART', '/docs/models/colours')} }})()")
    page.js("location.hash = '#colours'")
    page.js("location.hash = '#shade'")
    page.until("document.querySelector('h1').textContent === 'shade'")
    page.until("window.late")
    assert page.text("h1") == "shade" and page.js("document.title") == "shade - Gantline"


def test_an_address_that_nobody_has_quoted(page: Chromium, url: str) -> None:
    page.go(f"{url}/docs#100%")
    page.until("document.querySelector('h1')?.textContent === '100%'")
    assert "unknown model: '100%'" in page.text("main")
    page.events.clear()  # the 404


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_sticks_out(page: Chromium, url: str, width: int) -> None:
    page.size(width, 800, mobile=width < 500)
    opened(page, url, "colours")
    page.click("#send")
    answered(page)
    assert page.js("document.documentElement.scrollWidth") <= width


def test_every_control_has_a_name(page: Chromium, url: str) -> None:
    opened(page, url, "colours")
    page.click("#send")
    answered(page)
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    wanted = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "spinbutton", "tab", "table", "image"}
    nameless = [
        node["role"]["value"]
        for node in tree
        if not node.get("ignored") and node["role"]["value"] in wanted and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    headings = page.js("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")
    assert headings.count("H1") == 1 and headings[0] == "H1"


def test_many_models_come_in_parts(page: Chromium, servers: Callable[..., Running], zoo: Path, tmp_path: Path) -> None:
    for i in range(450):
        folder = tmp_path / f"model-{i:03}" / "1"
        folder.mkdir(parents=True)
        (folder / "model.onnx").symlink_to(zoo / "double.onnx")
    page.go(f"{servers(tmp_path, model_control='explicit').url}/docs")
    page.until("document.querySelectorAll('#models a').length === 200")
    assert page.text("#total") == "(450)"
    for count in (400, 450):
        page.click("#more")
        page.until(f"document.querySelectorAll('#models a').length === {count}")
    assert page.js("document.querySelector('#more').hidden")
    page.fill("#match", "l-44")
    page.until("document.querySelectorAll('#models a').length === 10")
    page.click("#models a")
    page.until("document.querySelector('h1')?.textContent === 'model-440'")
    assert "not loaded" in page.text("main")
