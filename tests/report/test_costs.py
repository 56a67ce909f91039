"""The cost table of SimpleNet's source counted again; the front of accuracy against parameters."""

import pytest
import torch
import torchvision

from thumbnets.evaluation.cost import describe
from thumbnets.report import costs
from thumbnets.report.charts import parameters_chart
from thumbnets.report.costs import plotted, plotted_sources, recounts
from thumbnets.report.findings import ensemble_row, model_rows
from thumbnets.report.published import published_points
from thumbnets.report.results import read_results
from thumbnets.report.source_networks import NETWORKS

# What the analyser's own definitions give for one image: MACC, COMP, ADD, DIV, activations, and
# parameters without the two constants of each response norm.
COUNTS = {
    "SqueezeNet": (861_339_936, 9_665_768, 226_000, 1_000, 12_576_283, 1_248_424),
    "ResNet-50": (3_868_560_384, 10_888_192, 16_207_848, 10_588_136, 46_717_904, 25_557_096),
    "AlexNet": (726_791_936, 1_768_640, 478_024, 955_048, 2_080_811, 60_965_228 - 4),
    "GoogLeNet": (1_604_042_752, 16_107_376, 882_920, 1_664_488, 10_218_699, 6_998_556 - 4),
    "NIN": (1_105_996_320, 2_892_960, 38_000, 2_000, 3_769_459, 7_595_176),
    "VGG16": (15_470_264_320, 19_685_376, 1_000, 1_000, 28_802_512, 138_357_544),
}
# The cells that no counting explains.
UNEXPLAINED = {
    "SqueezeNet": ["divisions"],
    "ResNet-152": [],
    "ResNet-50": ["megabytes"],
    "AlexNet": ["megabytes"],
    "GoogLeNet": ["megabytes"],
    "NIN": ["activations"],
    "VGG16": ["megabytes"],
}


def test_counts_of_the_source_networks():
    found = {row.network: [cell.ours for cell in row.cells][:6] for row in recounts()}
    assert {name: tuple(found[name]) for name in COUNTS} == COUNTS


def test_all_cells_but_the_known_ones_are_reproduced():
    unexplained = {
        row.network: [cell.column for cell in row.cells if not cell.explained] for row in recounts()
    }
    assert unexplained == UNEXPLAINED
    assert [row.images for row in recounts()] == [1, 1, 1, 10, 10, 10, 10]


@pytest.mark.parametrize(
    ("value", "printed", "same"),
    [
        (861_339_936, "861.34M", True),
        (4.762, "4.7", True),  # cut off
        (4.762, "4.8", True),  # rounded
        (4.762, "4.6", False),
        (16_644_880, "16.64M", True),
        (97.49, "97.70", False),
        (6_998_552, "7M", True),
        (1000, "1.51M", False),
    ],
)
def test_what_a_cell_may_say(value, printed, same):
    assert costs._is_printed_as(value, printed) == same


def test_networks_are_those_of_torchvision_where_they_are_the_same():
    def total(network, side=224):
        found = describe(network, (3, side, side))
        return found.parameters, found.total.multiply_accumulates

    with torch.device("meta"):
        ours = {name: NETWORKS[name][0]() for name in ("VGG16", "SqueezeNet", "ResNet-152")}
        theirs = {
            name: torchvision.models.get_model(name, weights=None)
            for name in ("vgg16", "squeezenet1_0", "resnet152")
        }
    assert total(ours["VGG16"]) == total(theirs["vgg16"])
    parameters, products = total(ours["SqueezeNet"])
    # Theirs has no padding in the last convolution: 13 values less than 15 in each direction.
    padding = (15**2 - 13**2) * 512 * 1000
    assert total(theirs["squeezenet1_0"]) == (parameters, products - padding)
    assert total(theirs["resnet152"])[0] == total(ours["ResNet-152"])[0]


def test_front_holds_what_nothing_beats(make_run, monkeypatch):
    results = read_results(make_run())
    monkeypatch.setitem(results.metrics["cnn_c"], "parameters", 1000)
    found = plotted(results, [*model_rows(results), ensemble_row(results)])
    ours = {point.name: point for point in found if point.interval}
    # cnn_c is right on 38 of 40, as the ensemble, and has fewer parameters; mlp4 on 36 and 32.
    assert {name for name, point in ours.items() if point.front} == {"cnn_c"}
    published = [point for point in found if not point.interval]
    front = {(point.name, point.parameters) for point in published if point.front}
    # Of Fashion-MNIST's: cnn_b has less accuracy than cnn_c, and vgg8b 2x with global loss than 1x.
    assert front == {
        ("cnn_a", 2_174),
        ("cnn_c", 35_044),
        ("mlp", 2_900_000),
        ("vgg8b", 7_300_000),
        ("vgg8b_2x_predsim_cutout", 28_200_000),
    }
    assert plotted_sources(results)[0] == "Five Fashion-MNIST networks, table 1"


def test_published_accuracies_are_fractions():
    for dataset in ("fashion_mnist", "mnist", "kmnist", "cifar10", "cifar100", "svhn", "stl10"):
        points = published_points(dataset)
        assert points
        assert all(0.3 < p.accuracy < 1 and p.parameters > 1000 and p.source for p in points)


def test_chart_names_what_has_room(make_run):
    results = read_results(make_run())
    points = plotted(results, [*model_rows(results), ensemble_row(results)])
    (axis,) = parameters_chart(points).axes
    names = [text.get_text() for text in axis.texts]
    assert "mlp4" in names and len(names) < len(points)
    assert axis.get_xscale() == "log"


def test_a_data_set_without_published_points(make_run):
    results = read_results(make_run(data={"name": "digits"}))
    points = plotted(results, model_rows(results))
    assert all(point.interval for point in points)
    parameters_chart(points)
