"""Tiles put together against the slice in one piece."""

import numpy as np
import pytest

from comparison import default_mlp, on
from families import FAMILIES, HEXAGON, RECTANGLE, SQUARE, UNIT_SQUARE, example, tent_map
from meshes import assert_same, extent, mesh_of
from splinecam import InvariantError
from splinecam.stitch import stitch
from tiles import fan, quadtree, tiled

BOXES = [SQUARE, UNIT_SQUARE, RECTANGLE]


def is_box(polygon):
    return (
        len(polygon) == 4
        and (polygon[:, 0] == polygon[[3, 2, 1, 0], 0]).all()
        and (polygon[0, 1] == polygon[1, 1])
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_tiles(name):
    n = 0
    for seed in range(40):
        model, polygon = example(name, seed)
        if is_box(polygon):
            tiles = quadtree(polygon, np.random.default_rng(seed), depth=2)
        else:
            tiles = fan(polygon)
        if len(tiles) == 1:
            continue
        n += 1
        if n == 4:
            break
        assert_same(
            stitch(tiled(model, tiles)), mesh_of(on(model, polygon)), 1e-12 * extent(polygon)
        )
