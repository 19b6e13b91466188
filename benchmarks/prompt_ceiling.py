#!/usr/bin/env python3
"""How often could an edit of a photograph, enlarged four times, be the nearest of all at best?

Each operation is known here, no word is read: it is the affine change of SRResNet's colours, of the blurred and of the
mean ones and of grain that is nearest to it on other photographs in least squares. What the small picture does not hold
stays wrong: details that count for more than a faint edit does. Prints a line for each operation.
"""

import argparse
import functools
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

VIEWED = {"mirror": "mirrored", "crop": "middle"}  # operations on whole pictures: which of `views.VIEWS`
THINNED = 7  # one of so many pixels is fitted to


def read_crops(path):
    """A list of (low resolution, {operation, "" for none: uint8 [h, w, 3]}), an image each."""
    from src.data.triples import read_triples
    from src.superres.instructed import read_pair

    edits = {}
    for triple in read_triples(path):
        edits.setdefault(triple.image, {"": triple.image})[triple.kind] = triple.edited
    return [
        (read_pair(image)[0], {kind: read_pair(place)[1] for kind, place in places.items()})
        for image, places in edits.items()
    ]


def seen_by(net, low, view):
    """What a change is of, in one of VIEWS: colours, blurred colours, grain, the mean and 1, [h, w, 11] in 0..1."""
    from src.superres.network import Layers
    from src.superres.recolouring import of_everywhere
    from src.superres.views import VIEWS, seen

    low = seen(low[None], VIEWS.index(view))
    plain = np.clip(net(np.float32(low) / 255), 0, 1)
    mean = np.broadcast_to(plain.mean((1, 2), keepdims=True), plain.shape)
    of = of_everywhere(Layers(0, "float32"), plain, net.scale)
    return np.concatenate([of, mean, np.ones_like(plain[..., :1])], axis=-1)[0]


def fit(features, wanted):
    """The matrix [11, 3] nearest to what is wanted [n, 3] in 0..1, of pixels neither black nor white."""
    inside = (wanted > 0) & (wanted < 1)
    columns = [np.linalg.lstsq(features[m], w[m], rcond=None)[0] for m, w in zip(inside.T, wanted.T)]
    return np.stack(columns, axis=1)


def nearest(made, pictures):
    """The name of the picture that is nearest to uint8 [h, w, 3]."""
    from src.superres.edit_scoring import decibels

    return max(pictures, key=lambda kind: decibels(made, pictures[kind]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("train", help="triples of photographs, such as triples.py makes: what changes are fitted to")
    p.add_argument("test", help="triples of other photographs")
    args = p.parse_args()
    from src.cli.process import import_tensorflow

    import_tensorflow()
    from src.superres.bundled import find_network

    (net, _), train, test = find_network("srresnet"), read_crops(args.train), read_crops(args.test)

    @functools.cache
    def features(view):
        fitted = [seen_by(net, low, view).reshape(-1, 11)[::THINNED] for low, _ in train]
        return np.concatenate(fitted), [seen_by(net, low, view) for low, _ in test]

    right = 0
    for kind in sorted(test[0][1].keys() - {""}):
        fitted, tested = features(VIEWED.get(kind, "itself"))
        wanted = np.concatenate([edits[kind].reshape(-1, 3)[::THINNED] for _, edits in train]) / 255
        change = fit(fitted, wanted)
        made = (np.rint(255 * np.clip(x @ change, 0, 1)) for x in tested)
        found = [nearest(picture, edits) for picture, (_, edits) in zip(made, test)]
        right += found.count(kind)
        others = {other or "unedited": found.count(other) for other in found if other != kind}
        print(f"{kind:15} {found.count(kind) / len(test):4.0%}  {others or ''}")
    print(f"{'all':15} {right / len(test) / (len(test[0][1]) - 1):4.0%}  of {len(test)} crops")


if __name__ == "__main__":
    main()
