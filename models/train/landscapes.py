"""Fetches photographs of landscapes, cities and halls in the public domain, to learn restoring from.

    python landscapes.py FOLDER

They come with a game of Debian's (endless-sky-high-dpi, 136 MB) of photographs by many; those that its
copyright file says are in the public domain are kept. Needs apt-get and dpkg-deb.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from debian.copyright import Copyright

PACKAGE = "endless-sky-high-dpi"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folder", type=Path)
    folder = options.parse_args().folder
    if folder.exists():
        print(f"{folder} is there")
        return
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        try:
            subprocess.run(["apt-get", "download", PACKAGE], cwd=work, check=True)
            (package,) = work.glob("*.deb")
            subprocess.run(["dpkg-deb", "--extract", package, work / "tree"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"{PACKAGE} cannot be fetched ({error}): on Debian, run apt-get update first") from None
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        kept = [shutil.copy(picture, part) for picture in free(work / "tree")]
        part.rename(folder)
    print(f"{folder}: {len(kept)} photographs")


def free(tree: Path):
    """The landscapes of an extracted package that are in the public domain."""
    (about,) = tree.glob("usr/share/doc/*/copyright")
    with open(about, encoding="utf-8") as file:
        licences = Copyright(file)
    (root,) = tree.rglob("images")
    for picture in sorted(root.glob("land/*.jpg")):
        found = licences.find_files_paragraph(str(picture.relative_to(root.parent)))
        if found is not None and found.license.synopsis == "public-domain":
            yield picture


if __name__ == "__main__":
    main()
