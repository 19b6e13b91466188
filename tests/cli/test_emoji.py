"""`download.py --dataset emoji` against a server that behaves as the three sets' releases and Unicode's list do."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

import dataset
import download
from src.data.emoji import choose, code, read_names, slug
from tests.conftest import files, photo, run_here
from tests.server import serving

LIST = """# emoji-test.txt
# group: Smileys & Emotion
# subgroup: face-smiling
1F600 ; fully-qualified     # 😀 E1.0 grinning face
263A FE0F ; fully-qualified     # ☺️ E0.6 smiling face
263A                                                   ; unqualified         # ☺ E0.6 smiling face
# group: People & Body
1F469 200D 1F692 ; fully-qualified     # 👩‍🚒 E4.0 woman firefighter
1F469 1F3FB 200D 1F692 ; fully-qualified     # 👩🏻‍🚒 E4.0 woman firefighter: light skin tone
1F469 1F3FF 200D 1F692 ; fully-qualified     # 👩🏿‍🚒 E4.0 woman firefighter: dark skin tone
# group: Component
1F3FB                                                  ; component           # 🏻 E1.0 light skin tone
# group: Symbols
0023 FE0F 20E3 ; fully-qualified     # #️⃣ E0.6 keycap: #
# group: Flags
1F1E8 1F1EE ; fully-qualified     # 🇨🇮 E2.0 flag: C\u00f4te d\u2019Ivoire
"""
FIREFIGHTER = ["1f469 200d 1f692", "1f469 1f3fb 200d 1f692", "", "", "", "1f469 1f3ff 200d 1f692"]
ANIMALS = [f"1f4{i:02x}" for i in range(80)]  # so many that every split has some


def png(seed):
    f = io.BytesIO()
    Image.fromarray(photo(72, 72, seed)).convert("RGBA").save(f, format="PNG")
    return f.getvalue()


def zipped(members):
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return f.getvalue()


def fluent(name, about):
    return {f"fluentui-emoji-main/assets/{name}/metadata.json": json.dumps(about)}


@pytest.fixture
def releases():
    """Path to content of what is on the servers."""
    listed = LIST.replace("# group: Symbols", "# group: Animals & Nature\n%s\n# group: Symbols")
    listed %= "\n".join(f"{c.upper()}  ; fully-qualified # x E1.0 animal {i}" for i, c in enumerate(ANIMALS))
    noto = {f"noto-emoji-2.042/png/128/emoji_u{c}.png": png(i) for i, c in enumerate(ANIMALS)}
    noto |= {f"noto-emoji-2.042/png/128/emoji_u{c}.png": png(1) for c in ("1f600", "263a", "0023_20e3", "1f3fb")}
    noto |= {f"noto-emoji-2.042/png/{other}": png(2) for other in ("32/emoji_u1f600.png", "128/emoji_uffff.png")}
    twemoji = {f"twemoji-15.1.0/assets/72x72/{c}.png": png(i) for i, c in enumerate(ANIMALS)}
    tones = ("1f469-200d-1f692", "1f469-1f3fb-200d-1f692", "1f469-1f3ff-200d-1f692")
    twemoji |= {f"twemoji-15.1.0/assets/72x72/{c}.png": png(3) for c in (*tones, "23-20e3")}
    three = fluent("Grinning face", {"unicode": "1f600"}) | fluent(
        "Woman firefighter", {"unicode": FIREFIGHTER[0], "unicodeSkintones": [c or "1f600" for c in FIREFIGHTER]}
    )
    three |= {
        "fluentui-emoji-main/assets/Grinning face/3D/grinning_face_3d.png": png(4),
        "fluentui-emoji-main/assets/Grinning face/Color/grinning_face_color.svg": b"<svg/>",
        "fluentui-emoji-main/assets/Woman firefighter/Default/3D/woman_firefighter_3d_default.png": png(5),
        "fluentui-emoji-main/assets/Woman firefighter/Dark/3D/woman_firefighter_3d_dark.png": png(6),
    }
    return {
        "/googlefonts/noto-emoji/archive/refs/tags/v2.042.zip": zipped(noto),
        "/jdecked/twemoji/archive/refs/tags/v15.1.0.zip": zipped(twemoji),
        "/microsoft/fluentui-emoji/archive/refs/heads/main.zip": zipped(three),
        "/Public/emoji/15.1/emoji-test.txt": listed.encode(),
    }


def test_from_the_releases_to_tokens(releases, tmp_path, capsys):
    with serving(releases) as server:
        flags = ["--dataset", "emoji", "--download_dir", str(tmp_path), "--base_url", server.url]
        download.main(flags)
        before = files(tmp_path / "emoji")
        download.main(flags)  # nothing is fetched or made again
        assert all(server.requests[path] == 1 for path in releases)
    assert files(tmp_path / "emoji") == before
    out = capsys.readouterr().out
    assert f"python dataset.py {tmp_path}/emoji --classes --fit_clusters 512" in out
    names = {str(path) for path in before}
    splits = {split: {n.split("/", 1)[1] for n in names if n.startswith(split)} for split in ("train", "valid", "test")}
    everything = splits["train"] | splits["valid"] | splits["test"]
    assert {"smileys-emotion/noto-grinning-face.png", "smileys-emotion/fluent-grinning-face.png"} <= everything
    assert {"symbols/noto-keycap-hash.png", "symbols/twemoji-keycap-hash.png"} <= everything
    assert sum("firefighter" in n and "twemoji" in n for n in everything) in (2, 3)  # plain, one tone, or all for test
    for split, found in splits.items():  # a name is in the same split in every set
        bases = {n.split("-", 2)[-1] for n in found}
        others = {n.split("-", 2)[-1] for other in splits if other != split for n in splits[other]}
        assert found and not bases & others
    dataset.main([str(tmp_path / "emoji"), "--classes", "--fit_clusters", "8", "--save_dir", str(tmp_path)])
    assert len(np.load(tmp_path / "emoji_teX.npy")) == len(splits["test"])


@pytest.mark.parametrize(
    "path, content, message",
    [
        ("/Public/emoji/15.1/emoji-test.txt", b"<html>sorry</html>", "not Unicode's list of emoji"),
        ("/jdecked/twemoji/archive/refs/tags/v15.1.0.zip", zipped({"a.png": b""}), "no picture of an emoji"),
        ("/microsoft/fluentui-emoji/archive/refs/heads/main.zip", zipped(fluent("A", [])), "JSON of type list"),
        ("/microsoft/fluentui-emoji/archive/refs/heads/main.zip", zipped(fluent("A", {"unicode": 7})), "unicode is 7"),
        ("/googlefonts/noto-emoji/archive/refs/tags/v2.042.zip", zipped({"../x.png": b""}), "leads out"),
    ],
)
def test_what_is_no_set_of_emoji(path, content, message, releases, tmp_path, capsys):
    with serving(releases | {path: content}) as server:
        flags = ["--dataset", "emoji", "--download_dir", tmp_path, "--base_url", server.url]
        code, err = run_here(download.main, flags, capsys)
    last = err.rstrip("\n").rsplit("\n", 1)[-1]
    assert code == 1 and message in last and last.startswith("download.py: ")
    assert not (tmp_path / "emoji").exists() and not list(tmp_path.glob(".part*"))


def test_names(tmp_path):
    (tmp_path / "list.txt").write_text(LIST, encoding="utf-8")
    names = read_names(tmp_path / "list.txt")
    assert names["1f469-1f3fb-200d-1f692"] == ("woman-firefighter-light-skin-tone", "people-body")
    assert names["1f1e8-1f1ee"] == ("flag-cote-divoire", "flags") and names["263a"][0] == "smiling-face"
    assert "1f3fb" not in names and len(names) == 7
    assert code("0023_FE0F_20e3") == "23-20e3" and slug("keycap: *") == "keycap-asterisk"
    assert not list(choose(iter([])))
