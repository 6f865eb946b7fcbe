"""Options, table, ruler, regions and recipes of the dock, driven as a person does."""

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from napari.layers.base._base_constants import ActionType
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit, QPushButton, QSpinBox

from napari_xpcs.backends import NumPyBackend
from napari_xpcs.errors import PartitionError
from napari_xpcs.io.partition_file import read_partition
from napari_xpcs.io.recipe import Recipe, read_recipe, write_recipe
from napari_xpcs.kernels.geometry import Geometry, complete_geometry
from napari_xpcs.kernels.grid_bins import make_partition
from napari_xpcs.kernels.partition_spec import PartitionSpec
from napari_xpcs.kernels.regions import Region
from napari_xpcs.plugin import layers as xpcs_layers
from napari_xpcs.plugin.bin_jobs import BinRequest, bins_steps, preview_steps
from napari_xpcs.plugin.bin_layers import LIT, partition_layer
from napari_xpcs.plugin.bins_form import BinsForm, typed_edges
from napari_xpcs.plugin.drawn_layers import regions_layer
from napari_xpcs.plugin.image_layers import frames_layer
from napari_xpcs.plugin.partition_widget import PartitionWidget
from napari_xpcs.plugin.q_ruler import round_values, visible_arcs
from napari_xpcs.plugin.sectors import moved_sector, sector_outline
from napari_xpcs.plugin.twotime_layers import age_line_layer
from napari_xpcs.progress import run

pytestmark = pytest.mark.usefixtures("numpy_backend")


@pytest.fixture
def widget(viewer, qtbot):
    widget = PartitionWidget(viewer)
    qtbot.addWidget(widget)
    yield widget
    widget._teardown()


@pytest.fixture
def frames(viewer, known):
    counts = np.random.default_rng(0).poisson(3.0, (5, 48, 64)).astype(np.uint16)
    return viewer.add_layer(Layer.create(*frames_layer(counts, known=known)))


@pytest.fixture
def laid(widget, frames, qtbot):
    widget.findChild(QSpinBox, "dq").setValue(8)
    widget.findChild(QPushButton, "lay").click()
    qtbot.waitUntil(lambda: widget._target is not None)
    return widget


def state(widget):
    return widget.findChild(QLabel, "state").text()


def shown(widget):
    return xpcs_layers.layer_partition(widget._target)


SPECS = [
    PartitionSpec(dq=5, sq=200_000),
    PartitionSpec(dq=5, sq=20, dp=4, sp=8, spacing="log", q_range=(1e-3, 2e-3)),
    PartitionSpec(mode="x-y", dq=3, sq=6, dp=4, sp=8),
    PartitionSpec(mode="eq-ephi", dq=3, sq=3, ellipse=(20.123456789, 30.0, 15.0, 10.0, 30.0)),
    PartitionSpec(mode="qx-qy", dq=3, sq=3, dp=2, sp=2, min_pixels=7, edges="equal-count"),
    PartitionSpec(
        dp=3, sp=3, phi_range_deg=(150.0, -150.0), phi_offset_deg=12.5, q_convention="sin2theta"
    ),
    PartitionSpec(edges_q=((0.001, 0.002), (0.0025, 0.004)), dq=2, sq=10, dp=2, sp=2, phi_fold=2),
]


@pytest.mark.parametrize("spec", SPECS)
def test_form_shows_and_returns_every_option(qtbot, spec):
    form = BinsForm()
    qtbot.addWidget(form)
    form.show_spec(spec)
    assert form.spec() == spec


def test_typed_edges_that_are_no_numbers_are_told(laid, qtbot):
    line = laid.findChild(QLineEdit, "edges_q")
    line.setText("0.001 many")
    line.editingFinished.emit()
    qtbot.waitUntil(lambda: "many" in state(laid))


def test_typed_edges_with_gaps_make_the_bins(laid, qtbot):
    line = laid.findChild(QLineEdit, "edges_q")
    line.setText("0.001:0.0015 0.002:0.0025")
    line.editingFinished.emit()
    qtbot.waitUntil(lambda: len(shown(laid).dynamic) == 2)
    assert typed_edges("") is None


def test_table_and_layer_select_each_other(laid, qtbot):
    table, layer = laid._table, laid._target
    assert table.view.rows.rowCount() == 8
    plain = layer.colormap
    table.view.selectRow(4)
    assert layer.selected_label == 5
    np.testing.assert_allclose(layer.colormap.color_dict[5], LIT, atol=1e-6)
    layer.selected_label = 2
    assert [index.row() for index in table.view.selectionModel().selectedRows()] == [1]
    np.testing.assert_allclose(layer.colormap.color_dict[5], plain.color_dict[5], atol=1e-6)
    laid.findChild(QCheckBox, "outlines").setChecked(True)
    assert layer.contour == 1


def test_table_tells_edges_pixels_and_mean_counts(laid, frames, qtbot):
    model, partition = laid._table.view.rows, shown(laid)
    titles = [model.headerData(i, Qt.Orientation.Horizontal) for i in range(model.columnCount())]
    assert titles == ["bin", "q (1/Å)", "q edges", "pixels", "counts"]
    last = model.columnCount() - 1
    qtbot.waitUntil(lambda: model.data(model.index(0, last)) != "")
    mean = xpcs_layers.layer_frames(frames)[:].mean(axis=0)
    for row in (0, 7):
        inside = partition.dynamic.labels == row + 1
        assert float(model.data(model.index(row, last))) == pytest.approx(
            mean[inside].mean(), rel=1e-3
        )
        assert model.data(model.index(row, 3)) == str(inside.sum())


def test_counts_are_those_of_the_image_that_is_chosen(widget, frames, viewer, known, qtbot):
    partition = make_partition(
        complete_geometry(known, (48, 64)),
        np.ones((48, 64), dtype=bool),
        PartitionSpec(dq=4, sq=8),
        xp=NumPyBackend(),
    )
    viewer.add_layer(Layer.create(*partition_layer(partition, known=known)))
    model, last = widget._table.view.rows, 4

    def first_count():
        return model.data(model.index(0, last))

    qtbot.waitUntil(lambda: first_count() not in (None, ""))
    assert 2.5 < float(first_count()) < 3.5
    brighter = xpcs_layers.layer_frames(frames)[:] * np.uint16(10)
    other = viewer.add_layer(Layer.create(*frames_layer(brighter, known=known)))
    choice = widget.findChild(QComboBox, "image")
    choice.setCurrentIndex(choice.findData(other))
    qtbot.waitUntil(lambda: float(first_count() or 0) > 25)


def test_bin_painted_by_hand_keeps_the_tables_right(laid, qtbot):
    layer = laid._target
    before = shown(laid)
    layer.mode = "paint"
    layer.brush_size = 6
    layer.paint((24, 32), 9)
    qtbot.waitUntil(lambda: shown(laid) is not before)
    after = shown(laid)
    assert len(after.dynamic) == 9
    np.testing.assert_array_equal(after.dynamic.labels, layer.data)
    assert after.dynamic.pixels[8] == (layer.data == 9).sum()
    assert after.dynamic.pixels.sum() == before.dynamic.pixels.sum()
    assert "painted by hand" in state(laid).lower()
    assert laid._table.view.rows.rowCount() == 9


def test_ruler_rings_lie_at_their_q(laid, viewer, geometry):
    line = laid.findChild(QLineEdit, "ruler_q")
    line.setText("0.001")
    line.setModified(True)
    line.editingFinished.emit()
    (rings,) = xpcs_layers.layers_with_role(viewer.layers, "ruler")
    ring = np.round(np.asarray(rings.data[0])).astype(int)
    inside = np.all((ring >= 0) & (ring < geometry.shape), axis=1)
    q = laid._maps[1].q[tuple(ring[inside].T)]
    np.testing.assert_allclose(q, 0.001, atol=3e-5)
    assert "0.001" in list(rings.features["text"])
    laid.findChild(QPushButton, "ruler").click()
    assert xpcs_layers.layers_with_role(viewer.layers, "ruler") == []


def test_a_ruler_on_the_pixel_that_the_beam_hits_has_no_values(geometry):
    alone = replace(geometry, shape=(1, 1), center_row_px=0.0, center_col_px=0.0)
    assert round_values(alone).size == 0


def test_round_values_of_the_ruler_are_on_the_detector(geometry):
    values = round_values(geometry)
    assert 3 <= len(values) <= 10
    assert any(visible_arcs(geometry, float(q)) for q in values)


def test_read_out_tells_what_is_under_the_cursor(laid, viewer):
    viewer.cursor.position = (0.0, 10.0, 20.0)
    laid._readout.show_now()
    text = laid._readout.text()
    maps = laid._maps[1]
    assert "x 20  y 10  counts" in text
    assert f"q {maps.q[10, 20]:.5g} 1/Å" in text
    assert f"2θ {maps.two_theta_deg[10, 20]:.4g}°" in text
    assert f"bin {laid._target.data[10, 20]}" in text
    assert laid._readout.text_at((0.0, -5.0, 20.0)) == ""


def test_ring_and_sector_become_bins_and_are_saved_and_edited_again(laid, viewer, qtbot, tmp_path):
    laid.findChild(QPushButton, "add_ring").click()
    qtbot.waitUntil(lambda: len(shown(laid).dynamic) == 1)
    laid.findChild(QPushButton, "add_sector").click()
    qtbot.waitUntil(lambda: len(shown(laid).dynamic) == 2)
    partition = shown(laid)
    assert [region.kind for region in partition.regions] == ["sector", "sector"]
    laid.save(tmp_path / "bins.hdf")
    qtbot.waitUntil(lambda: "Saved" in state(laid))
    reread = read_partition(tmp_path / "bins.hdf")
    assert reread.regions == partition.regions
    data, arguments, _ = regions_layer(reread.regions, reread.geometry)
    layer = viewer.add_shapes(data, **arguments)
    assert laid._regions._layer.layer() is not None
    assert layer.nshapes == 2


def test_dragging_a_handle_of_a_ring_changes_its_edge(laid, viewer, qtbot, geometry):
    laid.findChild(QPushButton, "add_sector").click()
    qtbot.waitUntil(lambda: len(shown(laid).dynamic) == 1)
    (layer,) = xpcs_layers.layers_with_role(viewer.layers, "regions")
    (region,) = shown(laid).regions
    vertices = np.array(layer.data[0])
    beam = np.array([geometry.center_row_px, geometry.center_col_px])
    vertices[3] = beam + 1.2 * (vertices[3] - beam)
    layer.data = [vertices]
    layer.events.data(
        value=layer.data, action=ActionType.CHANGED, data_indices=(0,), vertex_indices=((3,),)
    )
    qtbot.waitUntil(lambda: shown(laid).regions != (region,))
    (after,) = shown(laid).regions
    assert after.q_range[1] == pytest.approx(1.2 * region.q_range[1], rel=1e-3)
    assert after.q_range[0] == pytest.approx(region.q_range[0])
    np.testing.assert_allclose(layer.data[0], sector_outline(after, geometry), atol=1e-3)


def test_the_bins_follow_the_edge_of_a_ring_while_it_is_dragged(laid, viewer, qtbot, geometry):
    laid.findChild(QPushButton, "add_ring").click()
    qtbot.waitUntil(lambda: len(shown(laid).dynamic) == 1)
    (layer,) = xpcs_layers.layers_with_role(viewer.layers, "regions")
    (bins,) = xpcs_layers.layers_with_role(viewer.layers, "partition")
    before = int((bins.data > 0).sum())
    vertices = np.array(layer.data[0])
    beam = np.array([geometry.center_row_px, geometry.center_col_px])
    vertices[3] = beam + 1.2 * (vertices[3] - beam)
    layer._moving_coordinates = tuple(vertices[3])
    layer._is_moving = True  # what napari does between press and release
    layer._data_view.edit(0, vertices)
    layer.refresh()
    qtbot.waitUntil(lambda: int((bins.data > 0).sum()) > 1.2 * before)
    layer._is_moving = False


def test_handle_at_the_end_of_an_arc_turns_the_limit_through_180(geometry):
    region = Region(kind="sector", q_range=(1e-3, 2e-3), phi_range_deg=(150.0, 170.0))
    wider = Region(kind="sector", q_range=(1e-3, 2e-3), phi_range_deg=(150.0, 190.0))
    outline = sector_outline(region, geometry)
    arc = len(outline) // 2
    moved = outline.copy()
    moved[arc - 1] = sector_outline(wider, geometry)[len(sector_outline(wider, geometry)) // 2 - 1]
    after = moved_sector(region, moved, geometry)
    assert after.phi_range_deg == pytest.approx((150.0, 190.0))
    assert after.q_range == pytest.approx((1e-3, 2e-3))
    assert moved_sector(region, outline, geometry) is None


def test_shapes_drawn_freely_are_bins_once_they_are_chosen(laid, viewer, qtbot):
    layer = viewer.add_shapes([np.array([[9.5, 9.5], [9.5, 19.5], [14.5, 19.5], [14.5, 9.5]])])
    assert laid._regions.wanted()[0] == ()
    laid._regions.choose(layer)
    qtbot.waitUntil(lambda: len(shown(laid).dynamic) == 1)
    assert shown(laid).dynamic.pixels[0] == 50
    rule = laid.findChild(QComboBox, "region_bins")
    rule.setCurrentIndex(rule.findData("clip"))
    qtbot.waitUntil(lambda: len(shown(laid).dynamic) > 1)
    assert shown(laid).dynamic.pixels.sum() == 50


def test_no_bins_are_laid_because_a_shape_or_the_line_of_an_age_is_there(widget, frames, viewer):
    viewer.add_shapes([np.array([[5, 5], [5, 20], [20, 20], [20, 5]])], shape_type="polygon")
    line = age_line_layer(np.array([[0.0, 9.0], [9.0, 0.0]]), 1.0)
    viewer.add_layer(Layer.create(*line))
    assert not widget._settle.isActive()
    regions = widget.findChild(QComboBox, "regions")
    assert regions.currentData() is None
    assert regions.count() == 2, "the drawing, and none; the line is not for bins"


def test_recipe_brings_back_what_was_clicked(laid, viewer, qtbot, tmp_path):
    path = tmp_path / "night.yaml"
    laid.findChild(QSpinBox, "min_pixels").setValue(3)
    laid.save_recipe(path)
    qtbot.waitUntil(lambda: "Saved" in state(laid))
    recipe = read_recipe(path)
    assert recipe.bins == laid._bins.spec()
    assert recipe.geometry["distance_m"] == 8.0
    laid.findChild(QSpinBox, "dq").setValue(5)
    laid.load_recipe(path)
    qtbot.waitUntil(lambda: laid._bins.spec() == recipe.bins)
    assert laid.known()["distance_m"].origin == "recipe night.yaml"


def test_recipe_brings_wedges_and_names_and_takes_regions_away(laid, viewer, qtbot, tmp_path):
    wedge = Region(kind="sector", phi_range_deg=(-60.0, -10.0), name="below")
    far = Region(kind="sector", q_range=(1e-3, 50.0), phi_range_deg=(0.0, 90.0))
    drawn = Region(kind="line", vertices=((3.0, 4.0), (9.0, 9.0)), width_px=3.0, name="scratch")
    write_recipe(tmp_path / "regions.yaml", Recipe(regions=(wedge, far, drawn)))
    write_recipe(tmp_path / "plain.yaml", Recipe(bins=PartitionSpec(dq=4, sq=8)))
    laid.load_recipe(tmp_path / "regions.yaml")
    qtbot.waitUntil(lambda: shown(laid).regions == (wedge, far, drawn))
    assert len(shown(laid).dynamic) == 3
    # What the frames tell of their times is no choice for other runs.
    assert "frame_time_s" not in laid.recipe().geometry
    laid.load_recipe(tmp_path / "plain.yaml")
    qtbot.waitUntil(lambda: shown(laid).regions == ())
    assert len(shown(laid).dynamic) == 4


def test_a_handle_of_a_wedge_turns_its_limit_and_gives_it_no_range_of_q(geometry):
    wedge = Region(kind="sector", phi_range_deg=(20.0, 60.0))
    wider = replace(wedge, phi_range_deg=(20.0, 70.0))
    outline = sector_outline(wedge, geometry)
    arc = len(outline) // 2
    moved = outline.copy()
    moved[arc - 1] = sector_outline(wider, geometry)[len(sector_outline(wider, geometry)) // 2 - 1]
    after = moved_sector(wedge, moved, geometry)
    assert after.q_range is None
    assert after.phi_range_deg == pytest.approx((20.0, 70.0))


def test_bins_and_recipe_saved_at_once_are_both_there(laid, qtbot, tmp_path):
    laid.save(tmp_path / "bins.hdf")
    laid.save_recipe(tmp_path / "bins.yaml")
    qtbot.waitUntil(lambda: (tmp_path / "bins.yaml").exists())
    qtbot.waitUntil(lambda: (tmp_path / "bins.hdf").exists())


def test_recipe_that_is_none_is_told(laid, qtbot, tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text("hello: 1\n")
    laid.load_recipe(path)
    qtbot.waitUntil(lambda: "no recipe" in state(laid))


def test_preview_of_a_large_detector_is_close_to_its_bins():
    geometry = Geometry(
        shape=(1100, 1203),
        energy_kev=10.0,
        distance_m=8.0,
        pixel_row_m=75e-6,
        pixel_col_m=75e-6,
        center_row_px=300.2,
        center_col_px=-40.7,
    )
    mask = np.ones(geometry.shape, dtype=bool)
    mask[500:520] = False
    request = BinRequest(
        shape=geometry.shape, geometry=geometry, mask=mask, spec=PartitionSpec(dq=10, sq=10)
    )
    assert request.preview_factor == 3
    labels = run(preview_steps(request))
    exact = run(bins_steps(request)).partition.dynamic.labels
    assert labels.shape == exact.shape
    assert (labels == exact).mean() > 0.97


def test_half_a_range_is_told(qtbot):
    form = BinsForm()
    qtbot.addWidget(form)
    field = form.findChild(QLineEdit, "q_min")
    field.setText("0.001")
    with pytest.raises(PartitionError, match="two ends"):
        form.spec()
