"""Costs of AlexNet to ResNet-152 against the table of SimpleNet's source, and docs/costs.md."""

from pathlib import Path

import pytest
import torch
import torchvision
from source_costs import agrees, page, recounts
from source_networks import NETWORKS

from thumbnets.evaluation.cost import describe

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
# Quantities whose published number is not our count, rounded or cut off.
DIFFERING = {
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
    differing = {
        row.network: [cell.column for cell in row.cells if not cell.agrees] for row in recounts()
    }
    assert differing == DIFFERING
    assert [row.images for row in recounts()] == [1, 1, 1, 10, 10, 10, 10]


@pytest.mark.parametrize(
    ("value", "published", "same"),
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
def test_what_a_cell_may_say(value, published, same):
    assert agrees(value, published) == same


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


def test_the_page_of_docs_shows_these_counts():
    docs = Path(__file__).parents[2] / "docs" / "costs.md"
    assert docs.read_text(encoding="utf-8") == page()
