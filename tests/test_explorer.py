"""The explorer's page: what Python writes into it."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import splinecam as sc
from splinecam.plotting import _pages, explore
from splinecam.plotting._values import folding_activations, output_values
from splinecam.plotting.explorer import contents, page
from splinecam.plotting.explorer.contents import active_counts, page_contents
from splinecam.plotting.explorer.packing import pack

SQUARE = sc.Slice.box((-1, 1), (-1, 1))


def mlp(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


def convolutional() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3)),
        )


def image_slice() -> sc.Slice:
    generator = torch.Generator().manual_seed(0)
    return sc.Slice.through(torch.randn(3, 1, 6, 6, generator=generator))


def unpack(listed: list[dict], packed: str) -> dict[str, np.ndarray]:
    """What the page's script does: read the planes of bytes."""
    data = zlib.decompress(base64.b64decode(packed))
    arrays, start = {}, 0
    for entry in listed:
        dtype = np.dtype(entry["type"]).newbyteorder("<")
        stop = start + entry["length"] * dtype.itemsize
        planes = np.frombuffer(data[start:stop], np.uint8).reshape(dtype.itemsize, -1)
        arrays[entry["name"]] = np.ascontiguousarray(planes.T).view(dtype).ravel()
        start = stop
    assert start == len(data)
    return arrays


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def read_page(text: str) -> tuple[dict, dict[str, np.ndarray]]:
    header = json.loads(re.search(r'id="header">(.*?)</script>', text, re.S)[1])
    packed = re.search(r'id="arrays">(.*?)</script>', text, re.S)[1]
    return header, unpack(header["arrays"], packed)


@pytest.fixture(scope="module")
def p() -> sc.Partition:
    return sc.compute_partition(mlp(2, 12, 12, 3), SQUARE)


# Arrays


def test_arrays_survive_packing():
    rng = np.random.default_rng(0)
    arrays = {
        "doubles": rng.normal(size=(5, 3)),
        "singles": rng.normal(size=7).astype(np.float32),
        "none": np.empty(0, np.uint32),
        "steps": rng.integers(-300, 300, 11).astype(np.int16),
        "turned": rng.integers(0, 9, (4, 6), np.uint8).T,
    }
    unpacked = unpack(*pack(arrays))
    assert list(unpacked) == list(arrays)
    for name, array in arrays.items():
        assert np.array_equal(unpacked[name], array.ravel())


def test_page_holds_the_partition(p):
    header, arrays = read_page(explore(p).html)
    drawn = arrays["vertices"].reshape(-1, 2) * header["scale"] + header["middle"]
    assert np.allclose(drawn, p.vertices, rtol=0, atol=1e-7)
    assert np.array_equal(arrays["edges"], p.edges.ravel())
    assert np.array_equal(arrays["halfedges"], p.region_halfedges)
    assert np.array_equal(np.cumsum(arrays["sides"]), p.region_offsets[1:])
    assert np.array_equal(arrays["areas"], p.areas)
    assert np.array_equal(arrays["edgeLayers"], p.edge_layers)
    flipped = np.repeat(np.arange(p.n_edges), arrays["flipCounts"])
    assert np.array_equal(flipped, p.edge_flips.edges)
    assert np.array_equal(arrays["flipUnits"], p.edge_flips.units)
    assert np.array_equal(arrays["flipSteps"], p.edge_flips.steps)
    assert [layer["name"] for layer in header["layers"]] == list(p.layer_names)
    segments = arrays["boundary"].reshape(-1, 2, 2) * header["scale"] + header["middle"]
    assert np.allclose(segments, sc.decision_boundary(p).segments, rtol=0, atol=1e-7)


def test_slices_far_from_the_origin_and_long_ones_are_drawn_finely():
    model = mlp(2, 8, 2)
    with torch.no_grad():
        model[0].bias -= model[0].weight @ torch.tensor([1000.0, 0.0])
    p = sc.compute_partition(model, sc.Slice.box((999, 1001), (-0.25, 0.25)))
    header, arrays = read_page(explore(p).html)
    assert header["size"] == [1.0, 0.25]
    drawn = arrays["vertices"].reshape(-1, 2).astype(float) * header["scale"] + header["middle"]
    assert np.abs(drawn - p.vertices).max() < 1e-7


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Hardtanh])
def test_active_counts_are_sums_of_patterns(activation):
    p = sc.compute_partition(mlp(2, 9, 9, 2, activation=activation), SQUARE)
    patterns = p.patterns().astype(int)
    expected = [patterns[:, :9].sum(axis=1), patterns[:, 9:].sum(axis=1)]
    assert np.array_equal(active_counts(p), np.transpose(expected))


def test_shared_edges_flip_all_their_units():
    model = mlp(2, 4, 1)
    with torch.no_grad():
        model[0].weight[1] = -model[0].weight[0]
        model[0].bias[1] = -model[0].bias[0]
    p = sc.compute_partition(model, SQUARE)
    _, arrays = read_page(explore(p).html)
    assert set(arrays["flipCounts"].tolist()) == {0, 1, 2}
    assert np.array_equal(active_counts(p)[:, 0], p.patterns().sum(axis=1))


@pytest.mark.parametrize(
    ("model", "slice_"), [(mlp(2, 12, 12, 3), SQUARE), (convolutional(), image_slice())]
)
def test_values_at_vertices_are_the_model_s(model, slice_):
    p = sc.compute_partition(model, slice_)
    double = nn.Sequential(*model).double()
    inputs = torch.from_numpy(slice_.embed(p.vertices))
    with torch.no_grad():
        expected = double(inputs).numpy()
    double.float()
    values = output_values(p)
    assert np.allclose(values, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    chosen = output_values(p, np.array([2, 0]))
    assert np.allclose(chosen, values[:, [2, 0]], rtol=0, atol=1e-12 * np.abs(values).max())


@pytest.mark.parametrize("layer", [0, 2])
def test_activations_at_vertices_are_the_model_s(layer):
    model, slice_ = convolutional(), image_slice()
    p = sc.compute_partition(model, slice_)
    index = [1, 2, 5][layer]
    with torch.no_grad():
        inputs = torch.from_numpy(slice_.embed(p.vertices))
        expected = model.double()[: index + 1](inputs).flatten(1).numpy()
    patterns = p.patterns()
    first = np.cumsum([0, *p.layer_sizes])[layer]
    own = patterns[:, first : first + p.layer_sizes[layer]]
    folding = np.flatnonzero((own != own[0]).any(axis=0))
    values = folding_activations(p, layer)
    assert 0 < len(folding) < p.layer_sizes[layer] or layer == 2
    assert np.allclose(values, expected[:, folding], rtol=0, atol=1e-12)


def test_of_many_outputs_those_that_win_are_listed(monkeypatch):
    model = mlp(2, 12, 12, 3)
    with torch.no_grad():
        model[-1].bias -= model(torch.zeros(2))
        model[-1].bias[1] = -100.0
    p = sc.compute_partition(model, SQUARE)
    assert page_contents(p).header["outputs"] == [0, 1, 2]
    monkeypatch.setattr(contents, "ALL_OUTPUTS", 2)
    some = page_contents(p)
    assert some.header["outputs"] == [0, 2]
    assert np.array_equal(some.arrays["outputs"], output_values(p)[:, [0, 2]].astype(np.float32))


def test_single_regions_and_single_outputs_have_pages():
    p = sc.compute_partition(nn.Linear(2, 1), SQUARE)
    header, arrays = read_page(explore(p).html)
    assert header["layers"] == []
    assert header["boundaryName"] == "Zero level"
    assert arrays["areas"].tolist() == [4.0]


# The page


def test_page_needs_nothing_else(p):
    elements = Elements(explore(p).html).found
    assert {"canvas", "style", "script"} <= {tag for tag, _ in elements}
    assert not [attrs for _, attrs in elements if attrs.get("src")]
    assert [attrs["href"] for _, attrs in elements if "href" in attrs] == ["data:,"]
    assert "default-src 'none'" in explore(p).html


def test_names_of_layers_cannot_end_the_header(p):
    units = replace(p.network.units, names=("</script><b>", "<!--"))
    network = replace(p.network, layers=p.network.layers)
    vars(network)["units"] = units
    text = explore(replace(p, network=network)).html
    header, _ = read_page(text)
    assert [layer["name"] for layer in header["layers"]] == ["</script><b>", "<!--"]
    assert "b" not in {tag for tag, _ in Elements(text).found}


def test_page_is_written_where_asked(p, tmp_path):
    made = explore(p, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == made.html
    made.save(str(tmp_path / "again.html"))
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "page.html").read_bytes()


def test_notebooks_show_the_page_in_a_frame():
    made = _pages.Page('<p title="a">&amp;')
    ((tag, attrs),) = Elements(made._repr_html_()).found
    assert tag == "iframe"
    assert attrs["sandbox"] == "allow-scripts"
    assert (
        attrs["srcdoc"] == made.html == unescape(re.search('srcdoc="(.*?)"', made._repr_html_())[1])
    )
    assert repr(made) == "<Page: 0.0 MB>"


def test_too_many_regions_are_refused(p, monkeypatch):
    monkeypatch.setattr(page, "MOST_REGIONS", 10)
    with pytest.raises(sc.InvalidArgumentError, match=r"p has \d+ regions; accepted: up to 10, "):
        explore(p)
