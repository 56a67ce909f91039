"""Cells of tables and pictures of mistakes."""

import base64
import io

import numpy as np
from PIL import Image

from thumbnets.report.panels import PICTURE_BYTES, matrix_panels, mistake_pictures, recall_table
from thumbnets.report.results import Mistakes

MATRIX = np.array([[3, 1], [0, 0]])  # nothing of class b


def test_matrix_is_in_percent_of_the_true_class():
    (panel,) = matrix_panels({"net": MATRIX}, ["a", "b"])
    assert [[cell.text for cell in row] for row in panel.rows] == [["75", "25"], ["–", "–"]]
    assert [cell.shade for cell in panel.rows[0]] == [75, 50]
    assert panel.rows[0][1].title == "a as b: 1 of 4"
    assert panel.worst == "25.0 % of a taken for b"


def test_a_matrix_without_mistakes_has_no_worst():
    (panel,) = matrix_panels({"net": np.eye(2, dtype=int)}, ["a", "b"])
    assert panel.worst is None


def test_recall_is_shaded_from_best_to_weakest():
    table = recall_table({"x": MATRIX, "y": np.array([[4, 0], [2, 2]])}, ["a", "b"])
    assert [[cell.text for cell in row] for row in table] == [["75.0", "100.0"], ["–", "50.0"]]
    assert [[cell.shade for cell in row] for row in table] == [[50, 0], [0, 100]]
    same = recall_table({"x": np.eye(2, dtype=int)}, ["a", "b"])
    assert [cell.shade for row in same for cell in row] == [0, 0]


def mistakes(images: np.ndarray) -> Mistakes:
    n = len(images)
    of = np.zeros(n, np.int64)
    return Mistakes(images, np.arange(n), of, of + 1, np.full(n, 0.75, np.float32))


def test_pictures_keep_their_pixels():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 4), dtype=np.uint8)
    pictures = mistake_pictures(mistakes(images), ["a", "b"])
    content = base64.b64decode(pictures[1].source.removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(Image.open(io.BytesIO(content)), images[1].transpose(1, 2, 0))
    assert (pictures[1].index, pictures[1].label, pictures[1].predicted) == (1, "a", "b")
    assert pictures[1].confidence == 0.75


def test_pictures_stay_within_their_bytes():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 160, 160), dtype=np.uint8)
    pictures = mistake_pictures(mistakes(images), ["a", "b"])
    assert 0 < len(pictures) < 6
    assert sum(len(picture.source) for picture in pictures) <= PICTURE_BYTES
