"""Whether the recipe is alive: all networks, a few steps on made-up pictures, interrupted, resumed and exported.

    python check.py

Needs what requirements.txt names and nothing else: no faces, no videos, no downloads. A minute.
"""

import tempfile
import tomllib
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from PIL import Image

import landscapes
import train_face
import train_live
import train_restore
from export import export
from faces import Faces
from footage import Footage
from loop import Log, Run, seed_all
from nets import FaceNet, LiveNet, RestoreNet
from perceptual import SLICES, Features
from stills import Stills

HERE = Path(__file__).resolve().parent

# Made-up faces; a tenth judges.
FACES = 20


def main() -> None:
    seed_all(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_faces(folder / "data", 256, FACES)
        make_faces(folder / "data" / "small", 128, FACES)
        make_faces(folder / "media" / "faces", 256, 4)
        face(folder)
        live(folder)
        restore(folder)
        free_landscapes(folder / "tree")
    print("the recipe is alive")


def face(folder: Path) -> None:
    config = tomllib.loads((HERE / "facesr-face-256.toml").read_text())
    log, work = Log(folder / "face"), folder / "face"
    faces = Faces(folder / "data", work, None, log)
    features = Features(random_weights(), depth=2)
    net = FaceNet(**config["net"])
    for stage in config["stage"]:
        for steps in (2, 4):  # the second run goes on where the first one ended
            short = {**stage, "steps": steps, "batch": 2, "workers": 2}
            train_face.train(net, faces, short, 1, work, features, log)
        state = torch.load(work / f"{stage['name']}.pt", weights_only=True)
        assert state["step"] >= 4, state["step"]
        before = {name: weight.clone() for name, weight in net.state_dict().items()}
        net.load_state_dict(state["average"])
        if stage["head"] == "detail":
            for name, weight in net.state_dict().items():
                assert name.startswith("detail.") or torch.equal(weight, before[name]), f"{name} was to stay"
    path = work / "face.onnx"
    export(net.eval(), "face", path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    picture = np.zeros((1, 3, 256, 256), np.float32)
    made = session.run(None, {"input": picture, "fidelity": np.ones(1, np.float32)})[0]
    assert made.shape == picture.shape and np.isfinite(made).all()


def live(folder: Path) -> None:
    config = tomllib.loads((HERE / "facesr-live-x2.toml").read_text())
    stage = {**config["stage"][0], "steps": 4, "batch": 2}
    samples = Stills(folder / "media", folder / "data", 1, 8)
    net = LiveNet(**config["net"])
    run = Run(net, stage, folder, "live", print)
    run.train(samples, train_live.losses, lambda average: "")
    assert run.done and all(weight.isfinite().all() for weight in run.average.state_dict().values())
    export(run.average.eval(), "live", folder / "live.onnx")


def restore(folder: Path) -> None:
    config = tomllib.loads((HERE / "facesr-restore-x2.toml").read_text())
    stage = {**config["stage"][0], "steps": 2, "batch": 1}
    samples = Footage(folder / "media", folder / "data", folder / "media" / "faces", 1, 2)
    run = Run(RestoreNet(**config["net"]), stage, folder, "restore", print)
    run.train(samples, train_restore.losses, lambda average: "")
    assert run.done and all(weight.isfinite().all() for weight in run.average.state_dict().values())
    export(run.average.eval(), "restore", folder / "restore.onnx")


def free_landscapes(tree: Path) -> None:
    """Of a package, those that nobody has rights to; of paragraphs about one file the last one counts."""
    about, pictures = tree / "usr/share/doc/game/copyright", tree / "usr/share/game/images/land"
    about.parent.mkdir(parents=True)
    pictures.mkdir(parents=True)
    for name in ("beach0.jpg", "beach0@2x.jpg", "city1.jpg", "dune.jpg"):
        (pictures / name).touch()
    head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
    rows = [("*", "GPL-3+"), ("images/land/*", "public-domain"), ("images/land/city*", "CC-BY-SA-4.0")]
    about.write_text(head + "".join(f"\nFiles: {files}\nCopyright: Somebody\nLicense: {terms}\n Words.\n" for files, terms in rows))
    kept = [picture.name for picture in landscapes.free(tree)]
    assert kept == ["beach0.jpg", "beach0@2x.jpg", "dune.jpg"], kept


def make_faces(folder: Path, side: int, count: int) -> None:
    """Ovals with eyes on grounds of noise, and the index that goes with them."""
    folder.mkdir(parents=True)
    rng, rows = np.random.default_rng(side), ["file\tset\tcolour\toriginal"]
    for number in range(count):
        picture = cv2.GaussianBlur(rng.integers(0, 255, (side, side, 3), np.uint8), (0, 0), 3)
        skin, middle = tuple(int(value) for value in rng.integers(90, 230, 3)), (side // 2, side // 2)
        cv2.ellipse(picture, middle, (side // 4, side // 3), 0, 0, 360, skin, -1)
        for eye in (-1, 1):
            cv2.circle(picture, (side // 2 + eye * side // 8, side * 15 // 32), side // 24, (40, 30, 20), -1)
        Image.fromarray(picture).save(folder / f"made_{number:02}.png")
        rows.append(f"made_{number:02}.png\tmade\tcolour\t{side}/made{number}.png")
    (folder / "INDEX.tsv").write_text("\n".join(rows) + "\n")


def random_weights() -> dict:
    """In place of those of the package."""
    weights, inputs = {"scaling_layer.shift": torch.zeros(1, 3, 1, 1), "scaling_layer.scale": torch.ones(1, 3, 1, 1)}, 3
    for layers in SLICES[:2]:
        for name in layers:
            weights[f"net.{name}.weight"] = torch.randn(8, inputs, 3, 3) * 0.3
            weights[f"net.{name}.bias"], inputs = torch.zeros(8), 8
    return weights


if __name__ == "__main__":
    main()
